import pytest
from cryptography.fernet import Fernet

from finops.stack import keys
from finops.stack.problem import StackError


def test_each_secret_is_made_once_and_only_its_owner_may_read_it(home):
    keys.make(home, has_database=False)
    before = {file.name: file.read_text() for file in home.keys.iterdir()}
    keys.make(home, has_database=True)
    after = {file.name: file.read_text() for file in home.keys.iterdir()}
    assert after == before
    assert set(before) == set(keys.MAKERS)
    assert len(set(before.values())) == len(before)
    assert {file.stat().st_mode & 0o777 for file in home.keys.iterdir()} == {0o600}


def test_encryption_key_is_one_fernet_takes(home):
    keys.make(home, has_database=False)
    Fernet(keys.read(home, "encryption-keys"))


def test_secret_that_others_could_read_is_closed_again(home):
    keys.make(home, has_database=False)
    (home.keys / "secret-key").chmod(0o644)
    keys.make(home, has_database=False)
    assert (home.keys / "secret-key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["encryption-keys", "privacy-key"])
def test_lost_key_is_not_replaced_while_the_data_that_needs_it_is_there(home, name):
    keys.make(home, has_database=False)
    (home.keys / name).unlink()
    with pytest.raises(StackError, match="put the file back from your backup"):
        keys.make(home, has_database=True)
    assert not (home.keys / name).exists()
