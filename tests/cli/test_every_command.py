"""Every command, on names, files, answers, rows and replies that try to steer the terminal or to break the command."""

from __future__ import annotations

import io
import json
import os
import re
import socketserver
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from rich.live import Live

from reported import call, decision, sample
from rheostat import Account, Budget, Rate, SQLiteLedger
from rheostat.capacity import StepTable
from rheostat.cli import app as cli
from rheostat.cli.agent_view import AgentView
from rheostat.cli.screen import Screen
from rheostat.cli.view import SolveView
from rheostat.fleet import Fleet
from rheostat.testing.server import Fault, Turn, provider_server

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # DBOS leaves its pools to the collector

HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07\x1b]52;c;cm0=\x07\x1b]8;;http://evil\x1b\\x\x9b31m\x85\x7f\r\x08\u202eli\u2066\u200b\u061c\ufeff"
    "\U000e0041[red]r[/][/none][link=http://evil]:skull:%s{0}\\[\nError: forged\tx"
)
"""All kinds at once; only what no database or argument can hold is missing: NUL and half of a surrogate pair."""
LONE = HOSTILE + "\udfff\ud800"
"""For JSON and file names, which can."""
NAME = f"a{HOSTILE}"
SECRET = "hunter2hunter2"
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
COLOUR = re.compile(r"\x1b\[[\d;]*m|\x1b\[\?25[lh]|\x1b\[\d*[AK]|\x1b\[2K")
"""What rich itself writes to a terminal."""


class Hostile(BaseHTTPRequestHandler):
    """A model server whose every word is hostile."""

    def do_GET(self) -> None:
        said: Any = {"version": LONE, "build_info": LONE}
        if self.path == "/v1/models":
            said = {"data": [{"id": LONE, "owned_by": "vllm", "max_model_len": 100}]}
        self.reply(200, said)

    def do_POST(self) -> None:
        self.reply(404, {"error": {"message": f"no {LONE} for {SECRET}", "code": LONE}})

    def reply(self, status: int, said: Any) -> None:
        data = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A folder whose every file is hostile, and a server; by name."""
    folder = tmp_path_factory.mktemp("world")
    inside = folder / f"{HOSTILE.replace('/', '')}"
    inside.mkdir()
    books(folder / "books.db")
    fleet(folder / "fleet.db")
    profile(inside / "p.json")
    table = replace(StepTable.read("h200-qwen3-32b-fp8"), **dict.fromkeys(("name", "model", "engine", "gpu"), LONE))
    (inside / "table.json").write_text(replace(table, source=LONE, date=LONE, licence=LONE).to_text())
    rows = [
        {"id": f"{LONE}{at}", "gold": LONE, "set": LONE, "samples": [
            {"answer": LONE if at % 2 else "1", "tokens": 9, "way": f"{LONE}{way}", "model": LONE} for way in "ab"
        ]} for at in range(3)
    ]  # fmt: skip
    (inside / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    trials = [
        {"task": f"{LONE}{at}", "arm": f"{LONE}{arm}", "model": f"{LONE}{arm}", "correct": at > 3, "output_tokens": 9,
         "kind": LONE} for at in range(10) for arm in "ab"
    ]  # fmt: skip
    (inside / "trials.jsonl").write_text("".join(json.dumps(row) + "\n" for row in trials))
    outcome = {
        "problem": LONE, "level": LONE, "correct": True, "answer": LONE, "status": LONE, "calls": 1, "input_tokens": 1,
        "cached_input_tokens": 0, "output_tokens": 1, "thinking_tokens": 0, "unknown_calls": 0, "usd_nanos": 1,
        "seconds": 1.0,
    }  # fmt: skip
    (inside / "bench.jsonl").write_text(
        "".join(json.dumps({**outcome, "setting": each}) + "\n" for each in (LONE, "fixed 0"))
    )
    (inside / "bill.csv").write_text(f'request_id,model,time\n"{NAME}","{NAME}",2026-01-01\n', newline="")
    (inside / "bad.csv").write_text(f'"{NAME}"\n1\n')
    (inside / "bad.json").write_text(json.dumps({"format": LONE, LONE: LONE}))
    (inside / "broken").write_text(HOSTILE)
    (inside / "q.txt").write_text(NAME)
    (inside / "tasks.jsonl").write_text(json.dumps({"id": LONE, "question": LONE, LONE: 1}) + "\n")
    names = ("p.json", "table.json", "samples.jsonl", "trials.jsonl", "bench.jsonl", "bill.csv", "bad.csv", "bad.json",
             "broken", "q.txt", "tasks.jsonl")  # fmt: skip
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Hostile)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {
        **{name: str(inside / name) for name in names}, "books": str(folder / "books.db"), "folder": str(inside),
        "fleet": str(folder / "fleet.db"), "url": f"http://127.0.0.1:{server.server_address[1]}/v1", "H": NAME,
        "label": NAME.replace("=", ""), "missing": str(inside / "missing"), "out": str(inside / "broken" / "x"),
    }  # fmt: skip
    server.shutdown()
    server.server_close()


def books(path: Path) -> None:
    """A ledger with the text wherever one can stand."""
    ledger = SQLiteLedger(path)
    account = f"thread/{NAME}"
    ledger.open(Account("top", Budget(usd="1")))
    ledger.open(Account(f"{NAME}new", Budget(tokens=5)))
    ledger.open(Account(account, Budget(calls=99), "top"))
    ledger.open(Account(f"{account}/run", None, account, rate=Rate(99)))
    fields = ("effort_asked", "effort_planned", "effort_seen", "decided_by", "stop", "error", "purpose", "kind")
    for end in ("settled", "unknown", "held"):
        call(
            ledger, account, model=NAME, node=NAME, reasons=(NAME, NAME), end=end, difficulty=0.5,
            candidate={"id": NAME, "parent": NAME, "way": NAME}, **dict.fromkeys(fields, NAME),
        )  # fmt: skip
    texts = dict.fromkeys(("parent", "way", "purpose", "status"), NAME)
    sample(ledger, account, NAME, **texts, scores={NAME: 0.5}, chosen=True, passed=True)
    beside = [{"name": NAME, "arm": NAME, "chance": 0.5, "cost": 9.0, "unit": "usd"}]
    decision(ledger, account, "stop", NAME, strategy=NAME, scorer=NAME, chosen=NAME, question=NAME, baselines=beside)
    ledger.close()
    with sqlite3.connect(path) as rows:  # who can write the database needn't ask the ledger
        for line in ("UPDATE rheostat_reservations SET id = id || ?, request_id = ?",):
            rows.execute(line, (NAME, NAME))


class State(TypedDict, total=False):
    question: str
    answer: str


def answer(state: State) -> State:
    if state["question"].startswith("fail"):
        raise ValueError(LONE)
    return {"answer": LONE}


def fleet(path: Path) -> None:
    """A fleet's database in which somebody wrote."""
    made = StateGraph(State)
    made.add_node("answer", answer)
    made.add_edge(START, "answer")
    made.add_edge("answer", END)
    with Fleet("f", made, budget=Budget(usd="1"), db=path, attempts=1) as begun:
        begun.submit([{"id": "a", "question": NAME}, {"id": "b", "question": f"fail {NAME}"}])
        begun.work()
    with sqlite3.connect(path) as rows:
        [text] = rows.execute("SELECT settings FROM rheostat_fleets").fetchone()
        changed = {**json.loads(text), "paused": f"budget: {NAME}", "graph": NAME, "model": NAME}
        rows.execute("UPDATE rheostat_fleets SET settings = ?", (json.dumps(changed),))
        rows.execute("INSERT INTO rheostat_fleets VALUES (?, ?)", (NAME, json.dumps({**changed, "name": NAME})))
        for state, text in (
            ("SUCCESS", {"why": LONE, "by": LONE, "answer": LONE, "usd": "NaN", "tokens": LONE}),
            ("ERROR", [LONE]),
        ):
            row = (
                "INSERT INTO workflow_status (workflow_uuid, status, output, error, created_at, updated_at, "
                "recovery_attempts, priority, serialization) VALUES (?, ?, ?, ?, 1, 1, 1, 1, 'portable_json')"
            )
            rows.execute(row, (f"f/{state}{NAME}", state, json.dumps(text), json.dumps(text)))


def profile(path: Path) -> None:
    arms = [
        {"model": LONE, "way": LONE, "right": 1, "tried": 2, "output_tokens": 9, "date": LONE, "source": LONE},
        {"model": "b", "right": 1, "tried": 2, "output_tokens": 9},
    ]
    path.write_text(
        json.dumps({"format": "rheostat-profile-1", "kinds": {LONE: {"arms": arms}, "maths": {"arms": arms}}})
    )


class Said:
    """What a command wrote and how it ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


def run(*words: str, encoding: str = "utf-8") -> Said:
    """Run a command as a shell does, on streams that refuse what they can't encode."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="") for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["rheostat", *words])
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
        with pytest.raises(SystemExit) as ended:
            cli.run()
    texts = []
    for each in streams:
        each.flush()
        texts.append(each.buffer.getvalue().decode(encoding))  # type: ignore[attr-defined]  # a BytesIO
    return Said(int(ended.value.code or 0), *texts)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {
        "OPENAI_API_KEY": SECRET,
        "COLUMNS": "200",
        "RHEOSTAT_HOME": str(tmp_path / NAME.replace("/", "")),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)


FINE = """
ledger accounts {books}
ledger accounts {books} --all
ledger show {books}
ledger show {books} --by account
ledger show {books} --by node
ledger unknown {books}
ledger usage {books}
ledger export {books}
ledger reconcile {books} {bill.csv}
ledger open {books} {H}other --tokens 5
ledger amend {books} {H}new --tokens 6
ledger prune {books} --days 99999
show {books} thread/
explain {books} thread/
worth {books}
worth {books} --by account
worth {books} --by kind
report {books} thread/ --out {folder}/r.html
learn {books} --dry-run
learn --list
fleet status f --db {fleet}
fleet results f --db {fleet}
fleet pause f --db {fleet}
fleet resume f --workers 0 --db {fleet}
profile show {p.json}
profile diff {p.json}
profile merge {p.json} --out {folder}/m.json
capacity tables {table.json}
capacity plan {books} --users 1 --per-hour 1 --profile h200-qwen3-32b-fp8
capacity plan --users 1 --per-hour 1 --profile {table.json} --assume {label}=90:300
capacity plan {p.json} --users 1 --per-hour 1 --assume {label}=90:300 --provider rpm=9
replay votes {samples.jsonl} --orders 1
replay best-of-n {samples.jsonl} --orders 1
replay arms {trials.jsonl} --orders 1
bench report {bench.jsonl}
models inspect {url}
doctor
models list
profile reset --yes
prices show
learn --forget
""".strip().split("\n")
"""Commands that work, whatever is in what they read."""
WRONG = """
{H}
--{H}
ledger {H}
ledger show {missing}
ledger show {broken}
ledger show {books} --by {H}
ledger show {books} --account {H}
ledger void {books} {H}
ledger amend {books} {H}? --tokens 1
ledger reconcile {books} {bad.csv}
ledger reconcile {books} {missing}
ledger unknown {books} --expire -1
ledger accounts mysql://ann:hunter2hunter2@h/{H}
ledger open {books} x --each {H} --zone {H}
ledger open {books} y --usd {H}
show {books} {H}?
explain {books} {H}?
report {books} {H}?
report {books} thread/ --out {out}
worth {books} --by {H}
learn {broken}
learn {H}
fleet status {H}? --db {fleet}
fleet status f --db {broken}
fleet results f --db {fleet} --out {out}
fleet run {tasks.jsonl} --graph {H} --tokens 9 --db {H}/x.db
fleet run {missing} --graph {H}
profile show {bad.json}
profile show {broken}
profile show {p.json} --kind {H}
profile merge {bad.json}
profile merge {p.json} --out {out}
capacity tables {bad.json}
capacity tables {H}
capacity plan --users 1 --per-hour 1 --profile {bad.json}
capacity plan {p.json} --users 1 --per-hour 1 --profile {table.json} --kind {H} --only {H}
capacity plan --users 1 --per-hour 1 --assume {H} --provider {H}
capacity plan --users 1 --per-hour 1 --shape {H} --provider rpm=1
capacity calibrate {url} --kv-tokens 9 --kv-dtype {H} --concurrency {H}
capacity calibrate http://ann:{H}@127.0.0.1:9/v1 --kv-tokens 9999 --kv-dtype x
replay votes {broken}
replay votes {bad.json}
replay votes {samples.jsonl} --ways {H}
replay votes {samples.jsonl} --weights {H}
replay arms {bad.json}
replay arms {trials.jsonl} --columns {H}
replay arms {trials.jsonl} --price {H}
replay arms {trials.jsonl} --worth {H}
replay route {bad.csv}
replay route {trials.jsonl} --columns {H}
bench report {broken}
bench report {bad.json}
bench live --record {out} --model {H}
calibrate {tasks.jsonl} --models {H} --budget-tokens 9
calibrate {broken} --models x --budget-tokens 9
solve {H} --model {H}
solve --file {missing}
solve q --samples {H}
solve q --effort {H}
solve q --strategy {H}
solve q --matches [{H}
solve q --schema {broken}
solve q --tests {broken}
solve q --budget-usd {H}
solve q --ledger {broken} --model openai:gpt-5.1 --budget-usd 1
solve q --ledger {out} --model openai:gpt-5.1 --budget-usd 1
agent {H} --model {H}
agent q --files {missing} --model openai:gpt-5.1 --budget-usd 1
code {missing}
code {folder} --test-command "{H}
auto {H} --model {folder}
models path {H}
models pull {H}
models inspect http://ann:hunter2hunter2@127.0.0.1:9/{H}
models serve {missing}
prices show {H}
prices show openai:{H}
prices update --url {url}/{H}
prices update --url {H}
""".strip().split("\n")
"""Commands that end with one clear error."""


def filled(line: str, world: dict[str, str]) -> list[str]:
    """The words of a command; a value is one word, whatever is in it."""
    return [re.sub(r"\{([^{}]+)\}", lambda found: world[found[1]], word) for word in line.split(" ")]


def check(said: Said, statuses: tuple[int, ...]) -> None:
    for text in (said.out, said.err):
        assert not HIDDEN.search(text), repr(HIDDEN.search(text))
        assert not re.search(r"^Error: forged", text, re.MULTILINE), "a line is forged"
        assert SECRET not in text
    assert "Traceback" not in said.err
    assert said.status in statuses, said.err or said.out


@pytest.mark.parametrize("line", FINE)
def test_whatever_is_read_what_is_said_is_plain(line: str, world: dict[str, str]) -> None:
    check(run(*filled(line, world)), (0,) if line != "doctor" else (0, 1))


@pytest.mark.parametrize("line", [each for each in FINE if "--yes" not in each])
def test_json_is_one_document_or_one_a_line(line: str, world: dict[str, str]) -> None:
    said = run(*filled(line, world), "--json")
    check(said, (0, 1) if line == "doctor" else (0,))
    json.loads(said.out, parse_constant=pytest.fail)


@pytest.mark.parametrize("line", WRONG)
def test_a_mistake_is_one_clear_error(line: str, world: dict[str, str]) -> None:
    said = run(*filled(line, world))
    check(said, (2, 4))
    assert re.search(r"^(Error|Provider|Budget): \S", said.err, re.MULTILINE)


@pytest.mark.parametrize("line", FINE[:6])
def test_a_terminal_of_ascii_gets_ascii(line: str, world: dict[str, str]) -> None:
    check(run(*filled(line, world), encoding="ascii"), (0,))


COLOURED = [
    *FINE[:7], "show {books} thread/", "explain {books} thread/", "worth {books}", "fleet status f --db {fleet}",
    "profile show {p.json}", "{H}",
]  # fmt: skip


@pytest.mark.parametrize("line", COLOURED)
def test_colours_are_our_own(line: str, world: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    said = run(*filled(line, world))
    assert "\x1b[" in said.out + said.err
    check(Said(said.status, COLOUR.sub("", said.out), COLOUR.sub("", said.err)), (0, 2))
    assert "\x1b[2J" not in said.out


EVENTS = [
    {"type": "difficulty", "score": 0.5, "kind": LONE, "reasons": [LONE]},
    {"type": "plan", "effort": LONE, "thinking_tokens": 1, "samples": 1, "decided_by": LONE, "reasons": [LONE],
     "round": 1},
    {"type": "estimate", "score": 0.5},
    {"type": "plan", "effort": LONE, "thinking_tokens": 1, "samples": 1, "decided_by": LONE, "reasons": [LONE],
     "round": 1, "last_word": True},
    {"type": "sample", "id": LONE, "number": 1, "parent": LONE, "way": LONE, "purpose": LONE, "model": LONE,
     "effort": LONE, "status": "done", "answer": LONE, "error": None, "spend": {}},
    {"type": "verdict", "id": LONE, "passed": False, "reason": LONE},
    {"type": "score", "id": LONE, "score": 0.5, "reason": LONE},
    {"type": "decision", "action": LONE, "why": LONE, "chosen": LONE},
    {"type": "tool", "name": LONE, "text": LONE}, {"type": "correction", "name": LONE, "text": LONE},
    {"type": "step", "name": LONE, "steps": [LONE]}, {"type": "wind_down", "why": LONE},
]  # fmt: skip


@pytest.mark.parametrize("kind", [SolveView, AgentView])
def test_a_live_view_shows_what_a_run_says_and_no_more(kind: Any) -> None:
    view = kind(LONE, LONE, Budget(tokens=9))
    for event in EVENTS:
        if not (kind is AgentView and "round" in event and not view._rows):
            view.feed(event)
    stream = io.StringIO()
    screen = Screen()
    screen.file = stream
    with Live(view, console=screen, auto_refresh=False):
        screen.print(LONE)
    assert not HIDDEN.search(COLOUR.sub("", stream.getvalue()))
    assert ":skull:" in stream.getvalue()


@pytest.mark.parametrize(("command", "status"), [("solve", 0), ("agent", 404)])
def test_a_provider_may_say_what_it_likes(command: str, status: int, tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('["openai:gpt-5.1"]\ninput_per_million = 1\noutput_per_million = 8\n')
    words = [sys.executable, "-m", "rheostat", command, "What?", "--model", "openai:gpt-5.1", "--budget-usd", "0.1"]
    with provider_server(Turn(text=f"The answer is {LONE}", fault=Fault(status=status))) as server:
        env = {**os.environ, "RHEOSTAT_PRICES": str(prices), "OPENAI_BASE_URL": server.openai_url}
        done = subprocess.run(words, env=env, capture_output=True, timeout=60, check=False)
    check(Said(done.returncode, done.stdout.decode(), done.stderr.decode()), (4,) if status else (0, 1))


def test_what_ends_a_command_unforeseen_steers_nothing_either() -> None:
    code = (
        "import sys, logging, warnings; from rheostat.cli import app, screen; screen.guard(); "
        f"text = {LONE!r}; logging.getLogger('x').warning('log %s', text); warnings.warn(text); "
        f"raise ValueError(text + ' postgresql://ann:{SECRET}@h/d')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    said = done.stderr.decode()
    assert "ValueError" in said
    assert not HIDDEN.search(said), repr(HIDDEN.search(said))
    assert SECRET not in said


DOORS = re.compile(
    r"(?<!def )(?<![\w.])print\(|(?<![\w.])Console\(|from_markup|\becho\(|sys\.std(?:out|err)\.write|markup=True"
)


def test_there_is_one_door() -> None:
    """What a command prints goes through `rheostat.cli.screen`; beside it only CSV, whose cells are made safe."""
    folder = Path(cli.__file__).parent
    found = {
        (file.name, line.strip())
        for file in folder.glob("*.py") if file.name != "screen.py"
        for line in file.read_text(encoding="utf-8").splitlines() if DOORS.search(line)
    }  # fmt: skip
    assert found == {("__init__.py", "sys.stderr.write(f\"{MissingExtra('the command line', 'cli')}\\n\")")}
