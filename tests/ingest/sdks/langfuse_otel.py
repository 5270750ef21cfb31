"""Run by test_sdks in an environment of its own: a program using Langfuse's SDK 3, 4 or 5."""

import datetime as dt
import sys
import time

import langfuse as module
from langfuse import Langfuse

host, public_key, secret_key = sys.argv[1:]
langfuse = Langfuse(
    public_key=public_key, secret_key=secret_key, host=host, release="r1", environment="prod"
)
assert langfuse.auth_check()
ABOUT = {"user_id": "ann", "session_id": "s1", "tags": ["a", "b"]}


def work(root):
    with root.start_as_current_observation(
        as_type="generation",
        name="chat",
        model="gpt-4o-mini",
        input=[{"role": "user", "content": "Hi"}],
        model_parameters={"temperature": 0.1},
    ) as chat:
        time.sleep(0.05)
        chat.update(completion_start_time=dt.datetime.now(dt.UTC))
        chat.update(
            output="hello",
            usage_details={"input": 11, "output": 7, "input_cached_tokens": 3},
            cost_details={"input": 0.001, "output": 0.002},
        )
        chat.score(name="tone", value="good", data_type="CATEGORICAL")
        chat.score_trace(name="quality", value=0.9, comment="fine")
        chat.score_trace(name="right", value=1, data_type="BOOLEAN")
    bad = root.start_observation(as_type="generation", name="bad", model="gpt-4o")
    bad.update(usage_details={"input": 5, "output": 6}, level="ERROR", status_message="too slow")
    bad.end()
    root.create_event(name="note")


with langfuse.start_as_current_observation(as_type="span", name="answer", input="it") as root:
    if hasattr(root, "update_trace"):
        work(root)
        # Who asked is known only after everything below was sent.
        langfuse.flush()
        root.update_trace(**ABOUT)
    else:
        with module.propagate_attributes(**ABOUT):
            work(root)
langfuse.flush()
langfuse.shutdown()
print(root.trace_id)
