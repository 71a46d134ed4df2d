"""What happens when a process begins to serve and when it stops, and the processes of a replica."""
