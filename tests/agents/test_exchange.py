"""The exchange with hosts that poll, without HTTP: what is lost, repeated, late, hostile."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from towline.agents.conversation import WINDOW_BYTES, Conversation
from towline.agents.exchange import SILENT_SECONDS, TWO_MACHINES_SECONDS, Exchange
from towline.agents.messages import End, News, Output, Piece, Poll, Taken
from towline.errors import Conflict, Unreachable


@dataclass
class Agent:
    """The agent's side of the protocol, as far as the exchange sees it."""

    exchange: Exchange
    session: str = "session-1"
    number: int = 0
    got: dict[str, bytes] = field(default_factory=dict)

    async def poll(self, hold: float = 0.0) -> News:
        news, data = await self.ask(hold)
        return self.take(news, data)

    async def ask(self, hold: float = 0.0) -> tuple[News, bytes]:
        """A poll whose answer may still be lost."""
        self.number += 1
        opened = {one: len(data) for one, data in self.got.items()}
        poll = Poll(session=self.session, number=self.number, hold=hold, open=opened, clock=1000.0, hostname="h")
        return await self.exchange.poll("web-1", poll)

    def take(self, news: News, data: bytes) -> News:
        for piece in news.pieces:
            part, data = data[: piece.size], data[piece.size :]
            self.got[piece.id] += part[len(self.got[piece.id]) - piece.at :]
        for gone in news.gone:
            self.got.pop(gone, None)
        for offer in news.offers:
            self.got.setdefault(offer.id, b"")
        return news

    def write(self, conversation: Conversation, at: int, data: bytes, *, is_end: bool = False) -> Taken:
        piece = Piece(id=conversation.id, at=at, size=len(data))
        ends = (End(id=conversation.id, at=at + len(data), status=0),) if is_end else ()
        return self.exchange.take("web-1", Output(session=self.session, pieces=(piece,), ends=ends), data)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exchange(clock: Clock) -> Exchange:
    return Exchange(clock=clock)


async def opened(exchange: Exchange, agent: Agent) -> Conversation:
    conversation = exchange.open("web-1", "digest")
    await agent.poll()
    await agent.poll()
    await conversation.opened()
    return conversation


async def test_nothing_is_sent_before_the_host_names_the_conversation(exchange: Exchange) -> None:
    agent, conversation = Agent(exchange), exchange.open("web-1", "digest")
    news = await agent.poll()
    assert [offer.runner for offer in news.offers] == ["digest"] and not news.pieces
    await agent.poll()
    conversation.write(b"order\n")
    await agent.poll()
    assert agent.got[conversation.id] == b"order\n"


async def test_a_poll_that_is_held_is_answered_at_once(exchange: Exchange) -> None:
    agent = Agent(exchange)
    held = asyncio.create_task(agent.poll(hold=40))
    await asyncio.sleep(0)
    exchange.open("web-1", "digest")
    assert (await asyncio.wait_for(held, 5)).offers


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.lists(st.booleans(), max_size=30))
async def test_streams_are_whole_whatever_answers_are_lost(down: list[bool], up: list[bool]) -> None:
    exchange = Exchange(clock=Clock())
    agent = Agent(exchange)
    conversation = await opened(exchange, agent)
    sent = b""
    for is_lost in [*down, False]:
        conversation.write(b"abc")
        sent += b"abc"
        news, data = await agent.ask()
        if not is_lost:
            agent.take(news, data)
    assert agent.got[conversation.id] == sent
    output, acknowledged = b"", 0
    for is_lost in [*up, False]:
        output += b"xyz"
        taken = agent.write(conversation, acknowledged, output[acknowledged:])
        if not is_lost:
            acknowledged = taken.taken[conversation.id]
    agent.write(conversation, acknowledged, b"", is_end=True)
    read = b""
    while data := await conversation.read(100):
        read += data
    assert read == output


async def test_an_agent_that_was_started_again_has_lost_its_conversations(exchange: Exchange) -> None:
    conversation = await opened(exchange, Agent(exchange))
    await Agent(exchange, session="session-2").poll()
    with pytest.raises(Unreachable, match="was started again"):
        await conversation.read(10)


async def test_a_poll_that_does_not_name_an_open_conversation_breaks_it(exchange: Exchange) -> None:
    agent = Agent(exchange)
    conversation = await opened(exchange, agent)
    agent.got.clear()
    await agent.poll()
    with pytest.raises(Unreachable, match="lost the conversation"):
        conversation.write(b"x")


async def test_an_offer_whose_answer_was_lost_is_made_again(exchange: Exchange) -> None:
    agent, conversation = Agent(exchange), exchange.open("web-1", "digest")
    assert (await agent.ask())[0].offers
    assert (await agent.poll()).offers[0].id == conversation.id


async def test_what_this_process_does_not_know_is_over(exchange: Exchange) -> None:
    agent = Agent(exchange, got={"of-another-process.1": b"x"})
    assert (await agent.poll()).gone == ("of-another-process.1",)


async def test_a_host_that_falls_silent_loses_its_conversations(exchange: Exchange, clock: Clock) -> None:
    conversation = await opened(exchange, Agent(exchange))
    clock.now += SILENT_SECONDS - 1
    exchange.fail_silent()
    conversation.write(b"still there")
    clock.now += 2
    exchange.fail_silent()
    with pytest.raises(Unreachable, match="not been heard for 45 s"):
        await conversation.read(10)


async def test_a_server_that_ends_holds_no_poll(exchange: Exchange) -> None:
    agent = Agent(exchange)
    held = asyncio.create_task(agent.poll(hold=40))
    await asyncio.sleep(0)
    exchange.release_polls()
    await asyncio.wait_for(held, 5)
    await asyncio.wait_for(agent.poll(hold=40), 5)


async def test_a_closed_conversation_is_over_for_the_host(exchange: Exchange) -> None:
    agent = Agent(exchange)
    conversation = await opened(exchange, agent)
    held = asyncio.create_task(agent.poll(hold=40))
    await asyncio.sleep(0)
    exchange.close("web-1", conversation)
    assert (await asyncio.wait_for(held, 5)).gone == (conversation.id,)


async def test_a_late_poll_takes_nothing_from_a_newer_one(exchange: Exchange) -> None:
    agent = Agent(exchange)
    held = asyncio.create_task(agent.poll(hold=40))
    await asyncio.sleep(0)
    newer = asyncio.create_task(agent.poll(hold=40))
    await asyncio.sleep(0)
    assert not (await asyncio.wait_for(held, 5)).offers
    exchange.open("web-1", "digest")
    assert (await asyncio.wait_for(newer, 5)).offers


# ── two machines of one name ──


async def test_an_earlier_process_that_polls_again_is_a_second_machine(exchange: Exchange, clock: Clock) -> None:
    first, second = Agent(exchange), Agent(exchange, session="session-2")
    await first.poll()
    await second.poll()
    for agent in (first, second):
        with pytest.raises(Conflict, match="two machines poll as web-1"):
            await agent.poll()
    clock.now += TWO_MACHINES_SECONDS + 1
    await second.poll()


async def test_a_restart_is_no_second_machine(exchange: Exchange) -> None:
    await Agent(exchange).poll()
    second = Agent(exchange, session="session-2")
    await second.poll()
    await second.poll()


# ── hostile hosts ──


async def test_output_for_what_was_not_given_is_not_taken(exchange: Exchange) -> None:
    agent, conversation = Agent(exchange), exchange.open("web-2", "digest")
    await agent.poll()
    taken = agent.write(conversation, 0, b"forged")
    assert taken.gone == (conversation.id,) and conversation.received == 0


async def test_output_beyond_the_window_is_not_kept(exchange: Exchange) -> None:
    agent = Agent(exchange)
    conversation = await opened(exchange, agent)
    at = 0
    for _ in range(8):
        at = agent.write(conversation, at, b"x" * 1_000_000).taken[conversation.id]
    assert at == WINDOW_BYTES


async def test_output_with_a_gap_breaks_the_conversation(exchange: Exchange) -> None:
    agent = Agent(exchange)
    conversation = await opened(exchange, agent)
    agent.write(conversation, 5, b"late")
    with pytest.raises(Unreachable, match="left out output"):
        await conversation.read(10)


async def test_bytes_that_were_not_sent_cannot_be_acknowledged(exchange: Exchange) -> None:
    agent = Agent(exchange)
    conversation = await opened(exchange, agent)
    agent.got[conversation.id] = b"never sent"
    await agent.poll()
    with pytest.raises(Unreachable, match="not sent"):
        await conversation.drain()
