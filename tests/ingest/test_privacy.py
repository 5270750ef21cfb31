import hashlib
import hmac

import pytest

from ingest import privacy

KEY = privacy.ProjectKey(b"k1", b"a secret of the tests")
PROMPT = "Où est la bibliothèque? " * 300


def test_fingerprint_is_the_documented_hmac():
    expected = hmac.new(KEY.secret, b"What is the capital?", hashlib.sha256).digest()[:16]

    assert privacy.fingerprint("What is the capital?", KEY) == b"k1" + expected


def test_prefix_chain_is_the_documented_chain():
    data = PROMPT.strip().encode()
    first = hmac.new(KEY.secret, data[:2048], hashlib.sha256).digest()
    second = hmac.new(KEY.secret, first + data[2048:4096], hashlib.sha256).digest()

    chain = privacy.prefix_chain(PROMPT, KEY)

    assert len(chain) == len(data) // 2048
    assert chain[:2] == (first[:8], second[:8])


def test_prompts_share_their_chain_exactly_as_far_as_their_text():
    shared = "x" * 4096
    one = privacy.prefix_chain(shared + "a" * 4096, KEY)
    other = privacy.prefix_chain(shared + "b" + "a" * 4095, KEY)
    moved = privacy.prefix_chain("y" + shared, KEY)

    assert one[:2] == other[:2]
    assert one[2:] != other[2:]
    assert not set(one[3:]) & set(other[3:])
    assert not set(moved) & set(one)


@pytest.mark.parametrize("characters", [0, 1, 2047])
def test_prompt_below_one_block_has_an_empty_chain(characters):
    assert privacy.prefix_chain("x" * characters, KEY) == ()


def test_whole_block_counts():
    assert len(privacy.prefix_chain("x" * 2048, KEY)) == 1


@pytest.mark.parametrize(
    ("one", "same"),
    [("a\r\nb", "a\nb"), ("  a b\n", "a b"), ("caf\u0065\u0301", "caf\u00e9")],
)
def test_normalisation_makes_equal_what_a_model_cannot_tell_apart(one, same):
    assert privacy.fingerprint(one, KEY) == privacy.fingerprint(same, KEY)


@pytest.mark.parametrize("other", ["a  b", "A b", "a b."])
def test_normalisation_leaves_the_inside_alone(other):
    assert privacy.fingerprint("a b", KEY) != privacy.fingerprint(other, KEY)


def test_half_a_character_is_fingerprinted_too():
    assert len(privacy.fingerprint("\ud83d", KEY)) == 18


def test_projects_cannot_be_matched_with_each_other(settings):
    one, other = privacy.project_key(1), privacy.project_key(2)

    assert one.secret != other.secret
    assert privacy.fingerprint("same", one) != privacy.fingerprint("same", other)
    assert one.id == other.id


def test_changed_installation_key_shows_in_the_key_id(settings):
    before = privacy.project_key(1)
    settings.PRIVACY_KEY = "another key of thirty-two letters!!"

    after = privacy.project_key(1)

    assert before.id != after.id
    assert privacy.fingerprint("same", before) != privacy.fingerprint("same", after)


def test_prompt_gives_everything_at_once():
    made = privacy.prompt(f"{PROMPT}\r\n", KEY)

    assert made.prompt == privacy.fingerprint(PROMPT, KEY)
    assert made.prefixes == privacy.prefix_chain(PROMPT, KEY)
    assert made.signature == privacy.prompt_signature(PROMPT, KEY)
    assert made.removable_chars == 0


@pytest.mark.parametrize(
    "same",
    [
        {"gen_ai.request.temperature": 0, "gen_ai.request.max_tokens": 64},
        {"llm.invocation_parameters": '{"max_tokens": 64, "temperature": 0.0, "model": "gpt-4o"}'},
        {"max_tokens": 64, "temperature": 0.0, "stream": True, "user": "asha", "seed": None},
    ],
)
def test_parameters_are_the_same_however_they_are_spelt(same):
    plain = {"temperature": 0, "max_tokens": 64}

    assert privacy.parameters_hash(same, KEY) == privacy.parameters_hash(plain, KEY)


@pytest.mark.parametrize(
    "other",
    [
        {"temperature": 1},
        {"temperature": 0, "top_p": 1},
        {"temperature": 0, "tools": '[{"name": "search"}]'},
        {"top_p": 0},
        {"temperature": False},
        {"temperature": [0]},
    ],
)
def test_other_parameters_have_another_hash(other):
    assert privacy.parameters_hash(other, KEY) != privacy.parameters_hash({"temperature": 0}, KEY)


def test_parameters_hash_is_keyed_and_says_which_key():
    told = {"temperature": 0}
    made = privacy.parameters_hash(told, KEY)

    assert (len(made), made[:2]) == (18, b"k1")
    assert made != privacy.parameters_hash(told, privacy.ProjectKey(b"k1", b"another project"))
    assert made != privacy.fingerprint('{"temperature":0}', KEY)


@pytest.mark.parametrize("nothing", [{}, {"model": "gpt-4o"}, {"temperature": None}])
def test_unknown_parameters_have_no_hash(nothing):
    assert privacy.parameters_hash(nothing, KEY) is None


@pytest.mark.parametrize(
    "name",
    ["prompt", "user_input", "gen_ai.prompt.3.content", "acme.userQuestion", "db.query.text",
     "messages[0].content", "status_message"],
)  # fmt: skip
def test_names_of_text(name):
    assert privacy.names_text(name)


@pytest.mark.parametrize(
    "name",
    ["gen_ai.request.model", "input_tokens", "prompt_id", "gen_ai.response.finish_reasons",
     "input.mime_type", "gen_ai.prompt.name", "server.address", "output_tokens_count"],
)  # fmt: skip
def test_names_of_labels(name):
    assert not privacy.names_text(name)
