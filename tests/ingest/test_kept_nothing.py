"""Of a project that keeps no text, no byte of a prompt is anywhere in the database."""

import base64
from random import Random

import pytest
from django.db import connection

from ingest import privacy, store
from ingest.models import Reject, Span
from ingest.sources import otlp, vocabulary
from ingest.store.counting import project_of

from .sources.otlp_body import body

SYLLABLES = [
    "rum",
    "pel",
    "stilz",
    "chen",
    "sno",
    "whi",
    "te",
    "aschen",
    "put",
    "tel",
    "bre",
    "men",
]
UNHEARD_OF = ("acme.note", "my_app.userQuestion", "chain.history", "metadata", "event.payload")


def sentence(dice: Random) -> str:
    """Words that stand in no program, enough of them to be somebody's text."""
    return " ".join("".join(dice.choices(SYLLABLES, k=4)) for _ in range(dice.randint(8, 700)))


def names() -> list[str]:
    places = [name for group in (*vocabulary.PROMPTS, *vocabulary.ANSWERS) for name in group]
    numbered = [f"{name}0.content" if name.endswith(".") else name for name in places]
    return [*numbered, *sorted(vocabulary.TEXT_EVENTS), *UNHEARD_OF, "gen_ai.tool.definitions"]


def everything_stored() -> str:
    """Every row of every table of facts, as text; bytes come out in hex."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relname LIKE 'ingest_%' AND relkind IN ('r', 'p')"
            " AND relnamespace = current_schema()::regnamespace AND NOT relispartition"
        )
        tables = [name for (name,) in cursor.fetchall()]
        rows = []
        for table in tables:
            cursor.execute(f"SELECT t::text FROM {table} t")
            rows += [row for (row,) in cursor.fetchall()]
    return "\n".join(rows)


def traces_of(text: str) -> set[str]:
    """Every word of a text in the spellings a database could hold it."""
    found = set()
    for word in set(text.split()):
        data = word.encode()
        found |= {word, word.upper(), data.hex(), base64.b64encode(data).decode()[:-4]}
    return found


@pytest.mark.parametrize("seed", range(8))
def test_nothing_of_the_text_is_in_any_column(source, seed):
    dice = Random(seed)
    texts = {name: sentence(dice) for name in names()}
    spans = [
        {name: text, "gen_ai.usage.input_tokens": 100, "gen_ai.request.model": "gpt-4o"}
        for name, text in texts.items()
    ]
    spans.append({"_events": [("gen_ai.content.prompt", 1, {"gen_ai.prompt": sentence(dice)})]})
    refused = {"gen_ai.usage.input_tokens": -5, **dict(list(texts.items())[:20])}
    key = privacy.project_key(project_of(source))

    decoded = otlp.decode(body(*spans, refused), key=key, keeps_text=False)
    store.spans(source, decoded.spans, decoded.rejects)

    assert Span.objects.count() == len(spans)
    assert Reject.objects.count() == 1
    stored = everything_stored()
    assert "gpt-4o" in stored, "the search must be able to find something"
    leaked = [name for name, text in texts.items() if any(one in stored for one in traces_of(text))]
    assert leaked == []


def test_search_would_find_text_that_is_kept(source):
    source.project.keeps_text = True
    source.project.save()
    text = sentence(Random(1))
    key = privacy.project_key(project_of(source))

    decoded = otlp.decode(body({"gen_ai.input.messages": text}), key=key, keeps_text=True)
    store.spans(source, decoded.spans)

    assert any(one in everything_stored() for one in traces_of(text))
    assert not any(one in str(Span.objects.values_list().get()) for one in traces_of(text))
