"""Templates: the shipped ones, a user's own, what is refused, and where they are used."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import call
from hypothesis import given
from hypothesis import strategies as st
from servers import Reply, ScriptedServer

from mesa_llmspread import SpreadData, SpreadModel
from mesa_llmspread.deciders import (
    DecisionStore,
    Exposure,
    LLMDecider,
    Post,
    PromptTemplate,
    as_decider,
)
from mesa_llmspread.deciders.llm import template as template_module
from mesa_llmspread.deciders.llm.persona_check import check_personas
from mesa_llmspread.deciders.llm.prompts import SHOWN_MARKER, build_messages, with_markers
from mesa_llmspread.deciders.llm.template import PIECES, SHIPPED, as_template
from mesa_llmspread.events import bundled_events
from mesa_llmspread.exceptions import (
    ArgumentError,
    ArgumentTypeError,
    InputFileError,
    ReplayMissError,
    UnknownNameError,
)
from mesa_llmspread.profiles import Profile, Trait, all_profiles

STANDARD = as_template("standard")
FOLDER = Path(template_module.__file__).with_name("templates")
SAMPLE = {name: "VALUE" for names in PIECES.values() for name in names}

GERMAN = """
[persona]
somewhat = "etwas"
very = "sehr"
extremely = "äußerst"
openness.low = "Du bist {qualifier} fantasielos."
openness.average = "Du bist durchschnittlich offen."
openness.high = "Du bist {qualifier} fantasievoll."
conscientiousness.low = "Du bist {qualifier} nachlässig."
conscientiousness.average = "Du bist durchschnittlich gewissenhaft."
conscientiousness.high = "Du bist {qualifier} gründlich."
extraversion.low = "Du bist {qualifier} schweigsam."
extraversion.average = "Du bist durchschnittlich gesellig."
extraversion.high = "Du bist {qualifier} gesprächig."
agreeableness.low = "Du bist {qualifier} misstrauisch."
agreeableness.average = "Du bist durchschnittlich verträglich."
agreeableness.high = "Du bist {qualifier} freundlich."
neuroticism.low = "Du bist {qualifier} gelassen."
neuroticism.average = "Du bist durchschnittlich ängstlich."
neuroticism.high = "Du bist {qualifier} ängstlich."
"""


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Write a template's file."""

    def write(text: str, head: str = 'name = "mine"\nversion = "2"\nbase = "standard"\n') -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(head + text, encoding="utf-8")
        return path

    return write


def exposure(*posts: str, profile: str = "OceAn") -> Exposure:
    feed = tuple(Post(i, 0, words) for i, words in enumerate(posts))
    who = Profile.from_code(profile)
    return Exposure(1, 0, who, bundled_events()[0], len(feed), len(feed), 1, not feed, feed)


def prompt(template: PromptTemplate, seen: Exposure) -> list[str]:
    messages = with_markers(build_messages(seen, template), SHOWN_MARKER, SHOWN_MARKER)
    return [message["content"] for message in messages]


def changed(template: PromptTemplate = STANDARD, **pieces: Any) -> PromptTemplate:
    """Return a template with other pieces."""
    return PromptTemplate("mine", template.version, {**template.words, **pieces})


# The shipped ones


def test_the_shipped_templates_are_those_in_the_folder() -> None:
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(SHIPPED)
    assert [as_template(name).name for name in SHIPPED] == list(SHIPPED)
    assert len({as_template(name).hash for name in SHIPPED}) == len(SHIPPED)


def test_other_words_are_another_version() -> None:
    # If this fails, words have changed: raise that file's version and write the new pair here.
    assert {name: (as_template(name).version, as_template(name).hash) for name in SHIPPED} == {
        "standard": ("2", "44af49d82722f8da"),
        "paraphrase": ("2", "029fa52f388fec36"),
        "decline_first": ("2", "ae2d5ea0fecab5bf"),
        "no_persona": ("2", "3feb493b8719d5ea"),
        "persona_first": ("1", "2f10d4086d96742c"),
    }


def test_the_paraphrase_has_no_sentence_of_the_standard_one() -> None:
    paraphrase = as_template("paraphrase").words
    assert not {name for name in PIECES if paraphrase[name] == STANDARD.words[name]}
    for profile in all_profiles():
        persona = as_template("paraphrase").describe(profile)
        assert not [words for words in profile.describe().split(". ") if words in persona]


def test_decline_first_names_declining_first_wherever_there_is_a_choice() -> None:
    words = as_template("decline_first").words
    assert re.search("pass it by.*repost it.*Passing by.*reposting", words["task"])
    assert words["answer"].index("false if") < words["answer"].index("true if")
    assert words["answer"].index('""') < words["answer"].index("the words you put")
    assert words["question"].index("pass") < words["question"].index("repost")
    different = {name for name in PIECES if words[name] != STANDARD.words[name]}
    assert different == {"task", "answer", "answer_alone", "question"}


def test_without_personas_all_profiles_read_the_same_and_the_rest_is_standard() -> None:
    template = as_template("no_persona")
    prompts = {tuple(prompt(template, exposure("a", profile=p.code))) for p in all_profiles()}
    ((system, user),) = prompts
    same_system, with_persona = prompt(STANDARD, exposure("a"))
    persona = f"This is your personality: {Profile.from_code('OceAn').describe()}"
    assert (system, user) == (same_system, with_persona.replace(persona, template.words["role"]))
    assert template.describe(all_profiles()[0]) == ""


# A user's own


def test_a_file_needs_only_what_differs_from_its_base(file: Callable[..., Path]) -> None:
    mine = PromptTemplate.read(file('question = """\n  Repost {{it}}?\n"""'))
    assert mine == changed(question="Repost {{it}}?")
    assert prompt(mine, exposure())[1].endswith("\n\nRepost {it}?")


def test_a_whole_file_needs_no_base(file: Callable[..., Path]) -> None:
    whole = (FOLDER / "standard.toml").read_text(encoding="utf-8")
    mine = PromptTemplate.read(file(whole.replace('"standard"', '"mine"'), head="\ufeff"))
    assert mine == changed()
    assert mine.hash == STANDARD.hash


def test_a_persona_can_be_in_another_language(file: Callable[..., Path]) -> None:
    german = PromptTemplate.read(file('role = "So bist du: {persona}"' + GERMAN))
    who = Profile(0.5, -1, 2, 0.1, -0.3)
    assert german.describe(who) == (
        "Du bist etwas fantasievoll. Du bist sehr nachlässig. Du bist äußerst gesprächig. "
        "Du bist durchschnittlich verträglich. Du bist etwas gelassen."
    )
    _, user = prompt(german, exposure("a")._replace(profile=who))
    assert f"\n\nSo bist du: {german.describe(who)}\n\n" in user


levels = st.floats(-5, 5)


@given(st.builds(Profile, levels, levels, levels, levels, levels))
def test_english_words_for_a_persona_say_what_profiles_say(profile: Profile) -> None:
    def words(trait: Trait) -> dict[str, str]:
        place = list(Trait).index(trait)

        def sentence(level: float) -> str:
            everybody = [0.0] * 5
            everybody[place] = level
            told = Profile(*everybody).describe().split(". ")[place].rstrip(".") + "."
            return told.replace("very", "{qualifier}")

        return {"low": sentence(-1), "average": sentence(0), "high": sentence(1)}

    qualifiers = {word: word for word in ("somewhat", "very", "extremely")}
    english = changed(persona=qualifiers | {trait.value: words(trait) for trait in Trait})
    assert english.describe(profile) == profile.describe()


# What is refused


@pytest.mark.parametrize(
    ("text", "argument", "problem"),
    [
        ('again = "Seen before."', "again", "{times} is missing"),
        ('again = "{time}"', "again", "not {time}"),
        ('again = "{times.real}"', "again", "not {times.real}"),
        ('again = "{times!r}"', "again", "not {times!r}"),
        ('again = "{times:>9}"', "again", "not {times:>9}"),
        ('again = "{times|upper}"', "again", "not {times|upper}"),
        ('again = "{}"', "again", "not {}"),
        ('again = "{times"', "again", "is written twice"),
        ('again = "{% if times %}"', "again", "not {% if times %}"),
        ('question = "{marker}"', "question", "not {marker}"),
        ('begin = "BEGIN"', "begin", "{marker} is missing"),
        ('end = "END"', "end", "{marker} is missing"),
        ('rules = "{begin} {sign}"', "rules", "{end} is missing"),
        ('begin = "M {marker}"\nend = "M {marker}"', "end", "another line than begin"),
        ('begin = "a\\n{marker}"', "begin", "a single line"),
        ('post = "{number}\\n{text}"', "post", "a single line"),
        ('no_comment = "a\\u2028b"', "no_comment", "a single line"),
        ('post = "{text}"', "post", "{number} is missing"),
        ('caution = " "', "caution", "not be blank"),
        ("first = 3", "first", "text, in quotes"),
        ('"firts" = "x"', "piece", "did you mean 'first'"),
        ('answer = "\\"repost\\" and \\"reason\\""', "answer", '"post"'),
        ("persona = false", "role", "not {persona}"),
        ('role = "x"', "role", "{persona} is missing"),
        ('persona = "x"', "persona", "a table of words"),
        ("[persona]", "pieces", "persona.somewhat, persona.very, persona.extremely"),
        (GERMAN + "mood = 'x'", "piece", "persona.mood"),
        (GERMAN.replace("{qualifier} ängst", "ängst"), "persona.neuroticism.high", "is missing"),
        (GERMAN.replace("openness.high", "openness.hi"), "piece", "persona.openness.hi"),
        (GERMAN.replace('"sehr"', "1"), "persona.very", "text, in quotes"),
        (re.sub("openness.*\n", "", GERMAN) + "openness = 1", "piece", "persona.openness"),
    ],
)
def test_a_file_that_would_mislead_is_refused(
    file: Callable[..., Path], text: str, argument: str, problem: str
) -> None:
    path = file(text)
    with pytest.raises(InputFileError) as caught:
        PromptTemplate.read(path)
    assert caught.value.path == path
    assert problem in caught.value.problem
    assert "\n" not in str(caught.value)
    cause = caught.value.__cause__
    assert isinstance(cause, ArgumentError | ArgumentTypeError)
    assert cause.argument == argument


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ('task = "x"\nagain = "Seen before."', 5),
        ('first = 3\ntask = "x"', 4),
        ('news = "x"\n"firts" = "x"', 5),
        ("question = x", 4),
        ("\n" + GERMAN.replace('"sehr"', "1"), 8),
        (GERMAN.replace("{qualifier} ängst", "ängst"), 23),
        (GERMAN + "mood = 'x'", 24),
        ("[persona]\nvery = 'x'", None),
    ],
)
def test_the_row_of_what_is_wrong_is_named(
    file: Callable[..., Path], text: str, row: int | None
) -> None:
    with pytest.raises(InputFileError) as caught:
        PromptTemplate.read(file(text))
    assert caught.value.row == row


@pytest.mark.parametrize(
    ("head", "argument", "row"),
    [
        ('name = "mine"\nbase = "standard"', "version", None),
        ('name = "mine"\nversion = 1\nbase = "standard"', "version", 2),
        ('name = "mine"\nversion = "1"', "pieces", None),
        ('name = "mine"\nversion = "1"\nbase = "standart"', "base", 3),
    ],
)
def test_a_file_tells_what_it_is(
    file: Callable[..., Path], head: str, argument: str, row: int | None
) -> None:
    with pytest.raises(InputFileError) as caught:
        PromptTemplate.read(file("", head=head))
    assert caught.value.row == row
    assert caught.value.__cause__.argument == argument  # type: ignore[union-attr]


def test_the_name_of_a_shipped_template_means_its_words(file: Callable[..., Path]) -> None:
    head = 'name = "standard"\nversion = "2"\nbase = "no_persona"'
    with pytest.raises(InputFileError) as caught:
        PromptTemplate.read(file("", head=head))
    assert caught.value.row == 1
    assert "name='standard' and version='2'" in caught.value.problem


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name, content in (("none.toml", None), ("latin.toml", 'name = "f\xfcr"')):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content.encode("latin-1"))
        with pytest.raises(InputFileError) as caught:
            LLMDecider("openai/tiny", template=path)
        assert caught.value.path == path


def test_what_names_no_template_is_refused() -> None:
    with pytest.raises(UnknownNameError) as unknown:
        LLMDecider("openai/tiny", template="no_personas")
    assert (unknown.value.argument, unknown.value.value) == ("template", "no_personas")
    assert set(unknown.value.known) >= set(SHIPPED)
    with pytest.raises(ArgumentTypeError) as wrong:
        LLMDecider("openai/tiny", template=3)  # type: ignore[arg-type]
    assert (wrong.value.argument, wrong.value.value) == ("template", 3)
    with pytest.raises(ArgumentError) as blank:
        changed(question=" ")
    assert (blank.value.argument, blank.value.value) == ("question", " ")


places = st.sampled_from(["{times}", "{number}", "{marker}", "{{", "}}", "{", "}", "{a.b}", "{0}"])


@given(
    st.sampled_from(sorted(PIECES)),
    st.lists(
        places
        | st.text(max_size=5)
        | st.sampled_from(["{persona}", "{people}", "\n", "{{{{ x }}}}", "{{%", "'", '"', "\\"])
    ),
)
def test_what_is_accepted_can_be_said(piece: str, parts: list[str]) -> None:
    text = "".join(parts)
    try:
        template = changed(**{piece: text})
    except ArgumentError:
        return
    filled = text.format(**SAMPLE)
    assert filled.count("VALUE") >= len(PIECES[piece])
    prompts = []
    for seen in (exposure(), exposure("a", ""), exposure(*"abcdefghijklm")):
        system, user = prompt(template, seen)
        prompts.append(f"{system}{user}")
        quoted = int(bool(seen.posts))
        borders = [template.words[line].format(marker=SHOWN_MARKER) for line in ("begin", "end")]
        assert [user.split("\n").count(line) for line in borders] == [quoted, quoted]
    if not PIECES[piece] and piece in ("task", "caution", "news", "question"):
        assert all(filled in words for words in prompts)


# Where they are used


def test_the_words_are_part_of_what_a_call_is_known_by(scripted_server: ScriptedServer) -> None:
    def key(template: Any) -> str:
        who = LLMDecider("openai/tiny", scripted_server.api_base, template=template)
        run = who.for_run(1, np.random.default_rng(1))
        return str(run.decide([exposure("a")], np.random.default_rng(0))[0].key)

    assert len({key(name) for name in SHIPPED}) == len(SHIPPED)
    assert key(PromptTemplate("other", "7", STANDARD.words)) == key("standard")
    system = scripted_server.requests[SHIPPED.index("no_persona")]["messages"][0]["content"]
    assert "personality" not in system


def test_a_record_names_the_template(
    scripted_server: ScriptedServer, file: Callable[..., Path]
) -> None:
    path = file('question = "Well?"')
    who = LLMDecider("openai/tiny", scripted_server.api_base, template=path)
    model = SpreadModel(n=20, k=4, decider=who, rng=1).run(steps=1)
    said = SpreadData.from_model(model).info[0].decider_info
    assert (said["template"], said["template_version"]) == ("mine", "2")
    assert said["template_hash"] == PromptTemplate.read(path).hash != STANDARD.hash
    assert scripted_server.requests[0]["messages"][1]["content"].count("\n\nWell?") == 1


@pytest.mark.parametrize("name", SHIPPED)
def test_a_decider_shows_its_prompt_and_travels_with_its_template(name: str) -> None:
    who = LLMDecider("openai/tiny", "http://127.0.0.1:9/v1", template=name)
    seen = exposure("a", "b")
    assert [m["content"] for m in who.messages(seen)] == prompt(as_template(name), seen)
    other = pickle.loads(pickle.dumps(who))
    assert other.template == who.template
    assert other.messages(seen) == who.messages(seen)
    assert hash(other.template) == hash(who.template)


def test_an_estimate_follows_the_template() -> None:
    def estimate(template: Any) -> Any:
        who = LLMDecider(
            "openai/gpt-4o-mini",
            template=template,
            sampling="pooled",
            feed_detail="counts",
            draws=1,
        )
        return who.estimate(n=100_000, steps=2, k=2)

    standard, alone = estimate("standard"), estimate("no_persona")
    assert standard.calls == 32 * alone.calls
    longer = estimate(changed(question="Do you repost the news now, or rather not?"))
    assert longer.prompt_tokens > standard.prompt_tokens
    assert longer.most_prompt_tokens > standard.most_prompt_tokens


def test_a_template_can_be_a_part_of_plain_text(file: Callable[..., Path]) -> None:
    for name in SHIPPED:
        manifest = as_decider(f"llm:openai/tiny?template={name}").manifest()
        assert (manifest["model"], manifest["template"]) == ("openai/tiny", name)
    assert as_decider(f"llm:openai/tiny?template={file('')}").manifest()["template"] == "mine"
    for text in ("llm:openai/tiny?templat=x", "llm:openai/tiny?", "llm:openai/tiny?x"):
        with pytest.raises(UnknownNameError) as caught:
            as_decider(text)
        assert caught.value.known == ("template",)
    with pytest.raises(UnknownNameError) as unknown:
        as_decider("llm:openai/tiny?template=plain")
    assert (unknown.value.argument, unknown.value.value) == ("template", "plain")


def test_questionnaires_use_the_template_s_words_for_personas(
    scripted_server: ScriptedServer, file: Callable[..., Path]
) -> None:
    scripted_server.script = Reply(json.dumps({"ratings": [3] * 20}))
    check_personas(LLMDecider("openai/tiny", scripted_server.api_base, template=file(GERMAN)))
    system = scripted_server.requests[0]["messages"][0]["content"]
    assert "Du bist sehr" in system
    with pytest.raises(ArgumentError) as caught:
        check_personas(LLMDecider("openai/tiny", scripted_server.api_base, template="no_persona"))
    assert (caught.value.argument, caught.value.value) == ("template", "no_persona")


# The command line


def test_the_command_shows_what_a_model_would_be_told(file: Callable[..., Path]) -> None:
    shown = call("prompt", "--post", "They closed it!", "--post", "", "--profile", "oCEaN")
    system, user = prompt(STANDARD, exposure("They closed it!", "", profile="oCEaN"))
    assert shown == f"--- system ---\n{system}\n\n--- user ---\n{user}\n\n"
    assert "You have just seen the news yourself" in call("prompt")
    assert "the news before (2 times)" in call("prompt", "--before", 2)
    event = bundled_events()[5]
    assert f"“{event.text}”" in call("prompt", "--event", event.event_id)
    assert "START 000000000000" in call("prompt", "--template", "paraphrase", "--post", "x")
    assert "Well?" in call("prompt", "--template", file('question = "Well?"'))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--template", "paraphras"], "template='paraphras'"),
        (["--event", "nowhere"], "'nowhere'"),
        (["--profile", "x"], "code='x'"),
        (["--before", -1], "before=-1"),
    ],
)
def test_the_command_names_what_is_wrong(arguments: list[Any], message: str) -> None:
    error = call("prompt", *arguments, code=2)
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_run_takes_a_template(scripted_server: ScriptedServer, tmp_path: Path) -> None:
    small = ["--n", 12, "--k", 4, "--initial-infected", 2, "--rng", 1, "--steps", 1]
    server = ["--api-base", scripted_server.api_base]

    def run(name: str, decider: str, *more: Any) -> str:
        call("run", tmp_path / name, "--decider", decider, *more, *small, *server)
        return str(SpreadData.load(tmp_path / name).info[0].decider_info["template"])

    assert run("a", "llm:openai/tiny", "--template", "decline_first") == "decline_first"
    assert run("b", "llm:openai/tiny?template=paraphrase") == "paraphrase"
    both = run("c", "llm:openai/tiny?template=paraphrase", "--template", "no_persona")
    assert both == "no_persona"
    error = call("run", tmp_path / "d", "--decider", "SI(0.1)", "--template", "standard", code=2)
    assert "be llm:MODEL with --template" in error


def test_a_run_is_replayed_with_its_own_template_only(
    scripted_server: ScriptedServer, tmp_path: Path
) -> None:
    store = DecisionStore(tmp_path / "calls.sqlite")

    def run(template: str, mode: Any) -> SpreadModel:
        who = LLMDecider(
            "openai/tiny", scripted_server.api_base, store=store, mode=mode, template=template
        )
        return SpreadModel(n=12, k=4, initial_infected=2, decider=who, rng=1).run(steps=2)

    first = run("paraphrase", "record")
    assert run("paraphrase", "replay").infected == first.infected
    with pytest.raises(ReplayMissError) as caught:
        run("standard", "replay")
    assert (caught.value.step, caught.value.path) == (1, store.path)
