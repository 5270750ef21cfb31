"""The event loop of a Triton model: arrivals, the dynamic batcher, instances, answers.

Compiled by numba and fed with plain arrays. Knows how Triton's batcher behaves: it fills a payload
that may keep growing until an instance takes it, prepares at most two payloads per instance, and
lets an instance that takes one merge prepared ones that have waited beyond the queue delay.
Refuses dice: every random draw comes in as an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PREPARED_PER_INSTANCE = 2
"""Triton's own limit on payloads that wait, formed, for an instance."""

LOOKS_AGAIN_S = 0.5
"""A batcher with nothing to do looks again after so long, woken or not."""

NEVER = np.inf

# No `cache=True`: it needs a folder that can be written, which an installed package may not have.


@njit(nogil=True, error_model="numpy")
def _push(times: Floats, who: Any, size: int, at: float, caller: int) -> int:
    """Add to a binary heap, earliest first."""
    place = size
    while place > 0:
        above = (place - 1) >> 1
        if times[above] <= at:
            break
        times[place], who[place] = times[above], who[above]
        place = above
    times[place], who[place] = at, caller
    return size + 1


@njit(nogil=True, error_model="numpy")
def _pop(times: Floats, who: Any, size: int) -> int:
    """Take the earliest from the heap; it was read before."""
    size -= 1
    at, caller = times[size], who[size]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size and times[below + 1] < times[below]:
            below += 1
        if at <= times[below]:
            break
        times[place], who[place] = times[below], who[below]
        place = below
    times[place], who[place] = at, caller
    return size


@njit(nogil=True, error_model="numpy")
def _scan(
    formed: int, queued: int, is_late: bool, preferred: Any, most_preferred: int, most: int,
    waits: bool,
) -> tuple[int, bool, int]:  # fmt: skip
    """How many queued requests join the payload that holds `formed`, whether it is then closed,
    and, unless −1, the queue length below which arrivals do not disturb the batcher from now on.

    With none to join and such a length the batcher waits for more.
    """
    pending, best, closed, is_full = 0, 0, False, False
    while pending < queued:
        if formed + pending > 0:
            if formed + pending + 1 > most_preferred and best == 0:
                best, closed = pending, True
            if formed + pending + 1 > most:
                is_full = True
                break
        pending += 1
        if preferred[formed + pending]:
            best = pending
    if best != 0 and not is_late:
        return best, closed or not waits, -1
    if pending == 0:
        return 0, closed, -1
    if is_full or formed + pending >= most_preferred:
        return pending, True, -1
    if is_late or not waits:
        return pending, closed, -1
    enough = -formed
    for size in range(formed + pending + 1, most_preferred + 1):
        if preferred[size]:
            enough += size
            break
    # A payload that waits for an instance anyway takes what is there, preferred or not.
    if formed != 0 and not preferred[formed]:
        return pending, closed, enough
    return 0, closed, enough


@njit(nogil=True, error_model="numpy")
def run(
    starts: Floats, clients: int, thinks: Floats, horizon_s: float,
    most: int, instances: int, dynamic: bool, preferred: Any, delay_s: float,
    service_s: Floats, residuals_s: Floats, residual_row: Any, draws: Floats,
    before_s: Floats, after_s: Floats, spacing_s: Floats,
) -> tuple[Floats, Floats, Any, Floats, Floats, int, int]:  # fmt: skip
    """Start and latency of each request, size, seconds and end of each execution, both counts.

    `starts` are all starts in the order in which they reach the server; with `clients` they are
    the first of each caller, and the loop ends at the horizon. `before_s` is how long each request
    takes to the server, `after_s` each answer from there.
    """
    limit = len(before_s)
    started = np.empty(limit)
    reached = np.empty(limit)
    latency = np.full(limit, np.nan)
    caller = np.zeros(limit, np.int64)
    sizes = np.empty(limit, np.int64)
    seconds = np.empty(limit)
    ended = np.empty(limit)

    # Callers by the time when their next request reaches the server, and when they sent it.
    sent = np.empty(clients)
    heap_t, heap_c, heap_n = np.empty(clients + 1), np.empty(clients + 1, np.int64), 0
    for one in range(clients):
        sent[one] = starts[one]
        heap_n = _push(heap_t, heap_c, heap_n, starts[one] + before_s[one], one)

    most_preferred = 0
    for size in range(1, most + 1):
        if preferred[size]:
            most_preferred = size
    waits = delay_s > 0

    # Requests are numbered as they reach the server, so that every payload is a range of them.
    issued, head, tail, answered, runs = 0, 0, 0, 0, 0
    # Payloads, in the order they were formed: those in [taken, formed_n) wait for an instance.
    first, last = np.empty(limit + 1, np.int64), np.empty(limit + 1, np.int64)
    frozen = np.zeros(limit + 1, np.bool_)
    taken, formed_n = 0, 0
    current, closed = -1, False  # the payload that may grow; −1 while it is empty
    wake_at_length = 0
    timer = NEVER

    busy_until = np.full(instances, NEVER)
    busy_first, busy_last = np.zeros(instances, np.int64), np.zeros(instances, np.int64)
    line_free = 0.0
    now = 0.0

    while True:
        next_arrival = NEVER
        if clients > 0:
            if heap_n > 0 and issued < limit:
                next_arrival = heap_t[0]
        elif issued < limit:
            next_arrival = starts[issued] + before_s[issued]
        next_end, which = NEVER, -1
        for one in range(instances):
            if busy_until[one] < next_end:
                next_end, which = busy_until[one], one
        if next_arrival == NEVER and next_end == NEVER and head == tail and taken == formed_n:
            break

        wakes = False
        if next_end <= next_arrival and next_end <= timer:
            now = next_end
            busy_until[which] = NEVER
            for one in range(busy_first[which], busy_last[which]):
                # One client process reads the answers one after the other.
                line_free = max(line_free, now + after_s[answered]) + spacing_s[answered]
                latency[one] = line_free - started[one]
                again = line_free + thinks[answered] if clients > 0 else NEVER
                answered += 1
                if again < horizon_s and answered + clients <= limit:
                    sent[caller[one]] = again
                    again += before_s[answered + clients - 1]
                    heap_n = _push(heap_t, heap_c, heap_n, again, caller[one])
        elif next_arrival <= timer:
            now = next_arrival
            if clients > 0:
                caller[issued] = heap_c[0]
                started[issued] = sent[heap_c[0]]
                heap_n = _pop(heap_t, heap_c, heap_n)
            else:
                started[issued] = starts[issued]
            reached[issued] = now
            issued += 1
            tail = issued
            is_stale = current >= 0 and (current < taken or frozen[current])
            has_room = formed_n - taken < PREPARED_PER_INSTANCE * instances
            wakes = has_room and (closed or is_stale or tail - head >= wake_at_length)
        elif timer < NEVER:
            now = timer
        else:
            raise RuntimeError("requests wait and nothing will ever wake the batcher")
        if now >= timer:
            timer, wakes = NEVER, True

        while True:
            # The batcher, if it was woken.
            while dynamic and wakes:
                if closed or (current >= 0 and (current < taken or frozen[current])):
                    current, closed, wake_at_length = -1, False, 0
                timer = now + LOOKS_AGAIN_S if head == tail else NEVER
                if head == tail or formed_n - taken >= PREPARED_PER_INSTANCE * instances:
                    break
                formed = last[current] - first[current] if current >= 0 else 0
                is_late = waits and now >= reached[head] + delay_s
                take, closed, enough = _scan(
                    formed, tail - head, is_late, preferred, most_preferred, most, waits
                )
                if enough >= 0:
                    wake_at_length = enough
                    if take == 0:
                        timer = reached[head] + delay_s
                        break
                if take > 0:
                    if current < 0:
                        current = formed_n
                        formed_n += 1
                        first[current] = head
                    head += take
                    last[current] = head
                # An idle instance takes a payload as soon as it is there.
                if taken < formed_n:
                    is_idle = False
                    for one in range(instances):
                        is_idle = is_idle or busy_until[one] == NEVER
                    if is_idle:
                        break
            wakes = False

            # Idle instances.
            idle = -1
            for one in range(instances):
                if busy_until[one] == NEVER:
                    idle = one
                    break
            if idle < 0:
                break
            if dynamic:
                if taken == formed_n:
                    break
                begin, end = first[taken], last[taken]
                taken += 1
                while waits and most > 1 and taken < formed_n:
                    if now - reached[first[taken]] <= delay_s:
                        break
                    frozen[taken] = True
                    if last[taken] - begin > most:
                        break
                    end = last[taken]
                    taken += 1
                wakes = True
            else:
                if head == tail:
                    break
                begin, end = head, head + 1
                head += 1
            size = end - begin
            row = residual_row[size]
            draw = int(draws[runs] * residuals_s.shape[1])
            took = max(0.0, service_s[size] + residuals_s[row, draw])
            sizes[runs], seconds[runs], ended[runs] = size, took, now + took
            runs += 1
            busy_until[idle], busy_first[idle], busy_last[idle] = now + took, begin, end

    return started, latency, sizes, seconds, ended, issued, runs
