from backend.engines.base import ModelInfo
from backend.pool.base import OfferedModel
from backend.pool.model_list import merged

SMALL, LARGE = ModelInfo("small", thinks=False), ModelInfo("large", thinks=True)


def test_a_model_is_loaded_if_any_instance_has_it_loaded():
    for answers in ([None, False, True], [True, False, None], [False, True, False]):
        assert merged([[OfferedModel(SMALL, said)] for said in answers]) == (OfferedModel(SMALL, True),)
    assert merged([[OfferedModel(SMALL, None)], [OfferedModel(SMALL, False)]])[0].loaded is False
    assert merged([[OfferedModel(SMALL, None)]])[0].loaded is None


def test_models_come_in_the_order_of_the_instances_each_once():
    answers = [[OfferedModel(LARGE)], [], [OfferedModel(SMALL), OfferedModel(LARGE)]]
    assert [model.info.name for model in merged(answers)] == ["large", "small"]


def test_the_digests_of_a_model_are_those_of_all_instances_in_whatever_order_they_come():
    answers = [[OfferedModel(ModelInfo("small", digest=said))] for said in ("b", "", "a", "b")]
    for order in (answers, answers[::-1]):
        assert merged(order)[0].digests == ("a", "b")
    assert merged([[OfferedModel(SMALL)]])[0].digests == ()
