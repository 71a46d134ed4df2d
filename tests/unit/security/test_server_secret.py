from backend.security.server_secret import ServerSecret


def test_each_purpose_has_a_key_of_its_own_and_none_is_the_secret():
    secret = ServerSecret(b"n" * 32, (b"o" * 32,))
    keys = {*secret.keys("cookies"), *secret.keys("operator")}
    assert len(keys) == 4
    assert keys.isdisjoint(secret.every)
    assert "nnn" not in repr(secret)
