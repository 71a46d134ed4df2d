"""Small facts about the instances that every process shares."""
