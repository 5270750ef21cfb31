"""Run by test_sdks in an environment of its own: what a program using Langfuse's SDK 2 does."""

import datetime as dt
import sys

from langfuse import Langfuse

host, public_key, secret_key = sys.argv[1:]
langfuse = Langfuse(public_key=public_key, secret_key=secret_key, host=host)
assert langfuse.auth_check()

now = dt.datetime.now(dt.UTC)
trace = langfuse.trace(name="answer", tags=["a", "b"], release="r1", input="What is it?")
retrieval = trace.span(name="retrieve", input="it")
chat = retrieval.generation(
    name="chat", model="gpt-4o-mini", start_time=now, input=[{"role": "user", "content": "Hi"}],
    metadata={"ls_provider": "openai"},
)  # fmt: skip
chat.update(completion_start_time=now + dt.timedelta(milliseconds=120))
chat.end(
    output="hello",
    end_time=now + dt.timedelta(milliseconds=500),
    usage_details={"input": 11, "output": 7, "input_cached_tokens": 3},
    cost_details={"input": 0.001, "output": 0.002},
)
retrieval.end()
bad = trace.generation(name="bad", model="gpt-4o", usage={"input": 5, "output": 6})
bad.end(level="ERROR", status_message="TimeoutError: too slow")
trace.event(name="note")
trace.score(name="quality", value=0.9, comment="fine")
chat.score(name="tone", value="good", data_type="CATEGORICAL")
trace.score(name="right", value=1, data_type="BOOLEAN")
langfuse.flush()
# Who asked is known only after everything was sent.
trace.update(user_id="ann", session_id="s1", output="done")
langfuse.flush()
langfuse.shutdown()
print(trace.id)
