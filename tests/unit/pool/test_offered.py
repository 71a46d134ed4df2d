from backend.engines.base import LoadedModel, ModelInfo
from backend.pool.base import OfferedModel
from backend.pool.offered import merged, offered

SMALL, LARGE = ModelInfo("small", thinks=False), ModelInfo("large", thinks=True)


def test_an_instance_offers_what_it_lists_and_says_what_is_loaded():
    assert offered((), [SMALL, LARGE], [LoadedModel("large")]) == (
        OfferedModel(SMALL, False),
        OfferedModel(LARGE, True),
    )


def test_an_instance_that_does_not_say_what_is_loaded_is_not_taken_for_an_empty_one():
    assert offered((), [SMALL], None) == (OfferedModel(SMALL, None),)


def test_declared_names_stand_whatever_is_listed_and_keep_what_is_known_of_them():
    assert offered({"small", "alias"}, [SMALL, LARGE], []) == (
        OfferedModel(ModelInfo("alias"), False),
        OfferedModel(SMALL, False),
    )


def test_a_model_is_loaded_if_any_instance_has_it_loaded():
    for answers in ([None, False, True], [True, False, None], [False, True, False]):
        assert merged([[OfferedModel(SMALL, said)] for said in answers]) == (OfferedModel(SMALL, True),)
    assert merged([[OfferedModel(SMALL, None)], [OfferedModel(SMALL, False)]])[0].loaded is False
    assert merged([[OfferedModel(SMALL, None)]])[0].loaded is None


def test_models_come_in_the_order_of_the_instances_each_once():
    answers = [[OfferedModel(LARGE)], [], [OfferedModel(SMALL), OfferedModel(LARGE)]]
    assert [model.info.name for model in merged(answers)] == ["large", "small"]
