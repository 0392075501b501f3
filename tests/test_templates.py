"""Templates: the shipped ones, a user's own, what is refused, and where they are used."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import call
from hypothesis import given
from hypothesis import strategies as st
from mesa_llmspread.deciders.llm.personas import check_personas
from mesa_llmspread.deciders.llm.template_persona import PersonaWords, TraitWords
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
from mesa_llmspread.deciders.llm.prompts import SHOWN_MARKER, build_messages
from mesa_llmspread.deciders.llm.template import SHIPPED, as_template
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
PIECES = {
    entry.name: entry.metadata["placeholders"] for entry in fields(PromptTemplate) if entry.metadata
}

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

    def write(text: str, head: str = 'name = "mine"\nversion = "1"\nbase = "standard"\n') -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(head + text, encoding="utf-8")
        return path

    return write


def exposure(*posts: str, profile: str = "OceAn") -> Exposure:
    feed = tuple(Post(i, 0, words) for i, words in enumerate(posts))
    who = Profile.from_code(profile)
    return Exposure(1, 0, who, bundled_events()[0], len(feed), len(feed), 1, not feed, feed)


def prompt(template: PromptTemplate, seen: Exposure) -> list[str]:
    return [message["content"] for message in build_messages(seen, SHOWN_MARKER, template)]


# The shipped ones


def test_the_shipped_templates_are_those_in_the_folder() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SHIPPED)
    assert [as_template(name).name for name in SHIPPED] == list(SHIPPED)
    assert len({as_template(name).hash for name in SHIPPED}) == len(SHIPPED)


def test_other_words_are_another_version() -> None:
    # If this fails, words have changed: raise that file's version and write the new pair here.
    assert {name: (as_template(name).version, as_template(name).hash) for name in SHIPPED} == {
        "standard": ("1", "c2cc279bef859ba7"),
        "paraphrase": ("1", "7ad4d8c9acefc536"),
        "decline_first": ("1", "c3aee23a7164b982"),
        "no_persona": ("1", "91bfc44bea0e6103"),
    }


def test_the_paraphrase_has_no_sentence_of_the_standard_one() -> None:
    paraphrase = asdict(as_template("paraphrase"))
    assert not {name for name in PIECES if paraphrase[name] == asdict(STANDARD)[name]}
    for profile in all_profiles():
        persona = as_template("paraphrase").describe(profile)
        assert not [words for words in profile.describe().split(". ") if words in persona]


def test_decline_first_names_declining_first_wherever_there_is_a_choice() -> None:
    template = as_template("decline_first")
    assert re.search("pass it by.*repost it.*Passing by.*reposting", template.task)
    assert template.answer.index("false if") < template.answer.index("true if")
    assert template.answer.index('""') < template.answer.index("the words you put")
    assert template.question.index("pass") < template.question.index("repost")
    changed = {name for name in PIECES if asdict(template)[name] != asdict(STANDARD)[name]}
    assert changed == {"task", "answer", "question"}


def test_without_personas_all_profiles_read_the_same_and_the_rest_is_standard() -> None:
    template = as_template("no_persona")
    prompts = {tuple(prompt(template, exposure("a", profile=p.code))) for p in all_profiles()}
    ((system, user),) = prompts
    with_persona, same_user = prompt(STANDARD, exposure("a"))
    persona = f" This is your personality: {Profile.from_code('OceAn').describe()}"
    assert (system, user) == (with_persona.replace(persona, ""), same_user)
    assert template.describe(all_profiles()[0]) == ""


# A user's own


def test_a_file_needs_only_what_differs_from_its_base(file: Callable[..., Path]) -> None:
    mine = PromptTemplate.read(file('question = """\n  Repost {{it}}?\n"""'))
    assert mine == replace(STANDARD, name="mine", question="Repost {{it}}?")
    assert prompt(mine, exposure("a"))[1].endswith("\n\nRepost {it}?")


def test_a_whole_file_needs_no_base(file: Callable[..., Path]) -> None:
    whole = (FOLDER / "standard.toml").read_text(encoding="utf-8")
    mine = PromptTemplate.read(file(whole.replace('"standard"', '"mine"'), head="\ufeff"))
    assert mine == replace(STANDARD, name="mine")
    assert mine.hash == STANDARD.hash


def test_a_persona_can_be_in_another_language(file: Callable[..., Path]) -> None:
    german = PromptTemplate.read(file('role = "So bist du: {persona}"' + GERMAN))
    who = Profile(0.5, -1, 2, 0.1, -0.3)
    assert german.describe(who) == (
        "Du bist etwas fantasievoll. Du bist sehr nachlässig. Du bist äußerst gesprächig. "
        "Du bist durchschnittlich verträglich. Du bist etwas gelassen."
    )
    system, _ = prompt(german, exposure("a")._replace(profile=who))
    assert system.startswith(f"So bist du: {german.describe(who)}\n\n")


levels = st.floats(-5, 5)


@given(st.builds(Profile, levels, levels, levels, levels, levels))
def test_english_words_for_a_persona_say_what_profiles_say(profile: Profile) -> None:
    def words(trait: Trait) -> TraitWords:
        place = list(Trait).index(trait)

        def sentence(level: float) -> str:
            everybody = [0.0] * 5
            everybody[place] = level
            said = Profile(*everybody).describe().split(". ")[place].rstrip(".") + "."
            return said.replace("very", "{qualifier}")

        return TraitWords(sentence(-1), sentence(0), sentence(1))

    english = PersonaWords(
        somewhat="somewhat",
        very="very",
        extremely="extremely",
        **{trait.value: words(trait) for trait in Trait},
    )
    assert english.describe(profile) == profile.describe()


# What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('again = "Seen before."', r"again='Seen before.': must have {times}.*{times} is missing"),
        (
            'again = "{time}"',
            r"again=.*not {time}; a brace that is no placeholder is written twice",
        ),
        ('again = "{times.real}"', "not {times.real}"),
        ('again = "{times!r}"', "not {times!r}"),
        ('again = "{times:>9}"', "not {times:>9}"),
        ('again = "{}"', "not {}"),
        ('again = "{times"', "only placeholder; a brace that is no"),
        ('question = "{marker}"', "question='{marker}': must have no placeholder, not {marker}"),
        ('begin = "BEGIN"', "begin='BEGIN': must have {marker}.*is missing"),
        ('end = "END"', "end='END': must have {marker}.*is missing"),
        ('rules = "{begin} {sign}"', r"rules=.*{begin} and {end} and {sign}; {end} is missing"),
        ('begin = "M {marker}"\nend = "M {marker}"', "must be another line than begin"),
        ('begin = "a\\n{marker}"', "begin=.*must be a single line"),
        ('post = "{number}\\n{text}"', "post=.*must be a single line"),
        ('no_comment = "a\\u2028b"', "no_comment=.*must be a single line"),
        ('post = "{text}"', "{number} is missing"),
        ('caution = " "', "caution='': must not be blank"),
        ("first = 3", "first=3: must be text, in quotes, not int"),
        ('"firts" = "x"', "piece='firts': must be one of.*did you mean 'first'"),
        ('answer = "\\"repost\\" and \\"reason\\""', 'answer=.*must name the field "post"'),
        ("persona = false", "role=.*must have no placeholder, not {persona}"),
        ('role = "x"', "role='x': must have {persona}"),
        ('persona = "x"', "persona='x': must be true, false or a table"),
        ("[persona]", "persona={}: must have somewhat, very, extremely, openness"),
        (GERMAN + "mood = 'x'", "persona='mood': must be one of"),
        (GERMAN.replace("{qualifier} ängst", "ängst"), "persona.neuroticism.high=.*is missing"),
        (GERMAN.replace("openness.high", "openness.hi"), "persona.openness='hi': must be one"),
        (GERMAN.replace('"sehr"', "1"), "persona.very=1: must be text, in quotes"),
        (
            re.sub("openness.*\n", "", GERMAN) + "openness = 1",
            "persona.openness=1: must be a table",
        ),
        ("question = x", "is not TOML in UTF-8: .*line 4"),
    ],
)
def test_a_file_that_would_mislead_is_refused(
    file: Callable[..., Path], text: str, message: str
) -> None:
    with pytest.raises(InputFileError, match=message) as caught:
        PromptTemplate.read(file(text))
    assert str(caught.value).startswith(f"{caught.value.path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ('name = "mine"\nbase = "standard"', "must have version too$"),
        ('name = "mine"\nversion = 1\nbase = "standard"', "version=1: must be text, in quotes"),
        ('name = "mine"\nversion = "1"', "have role, task, .* too, or name a base"),
        ('name = "mine"\nversion = "1"\nbase = "standart"', "base=.*did you mean 'standard'"),
        ('name = "standard"\nversion = "1"\nbase = "no_persona"', "are those of a template that"),
    ],
)
def test_a_file_says_what_it_is(file: Callable[..., Path], head: str, message: str) -> None:
    with pytest.raises(InputFileError, match=message):
        PromptTemplate.read(file("", head=head))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"none\.toml: No such file"):
        LLMDecider("openai/tiny", template=tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes('name = "f\xfcr"'.encode("latin-1"))
    with pytest.raises(InputFileError, match=r"latin\.toml: is not TOML in UTF-8"):
        PromptTemplate.read(tmp_path / "latin.toml")


def test_what_names_no_template_is_refused() -> None:
    with pytest.raises(
        UnknownNameError, match=r"template='no_personas'.*did you mean 'no_persona'"
    ):
        LLMDecider("openai/tiny", template="no_personas")
    with pytest.raises(ArgumentTypeError, match="template=3: must be a name, a path or"):
        LLMDecider("openai/tiny", template=3)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"^question=' ': must not be blank"):
        replace(STANDARD, question=" ")
    with pytest.raises(ArgumentTypeError, match=r"^persona\.openness='x': must be TraitWords"):
        replace(as_template("paraphrase").persona, openness="x")  # type: ignore[type-var]


places = st.sampled_from(["{times}", "{number}", "{marker}", "{{", "}}", "{", "}", "{a.b}", "{0}"])


@given(
    st.sampled_from(sorted(PIECES)),
    st.lists(places | st.text(max_size=5) | st.sampled_from(["{persona}", "{people}", "\n"])),
)
def test_what_is_accepted_can_be_said(piece: str, parts: list[str]) -> None:
    text = "".join(parts)
    try:
        template = replace(STANDARD, **{piece: text})
    except ArgumentError:
        return
    said = template.say(piece, **dict.fromkeys(PIECES[piece], "VALUE"))
    assert said.count("VALUE") >= len(PIECES[piece])
    for seen in (exposure(), exposure("a", ""), exposure(*"abcdefghijklm")):
        _, user = prompt(template, seen)
        quoted = 1 + bool(seen.posts)
        begin, end = (template.say(line, marker=SHOWN_MARKER) for line in ("begin", "end"))
        assert [user.split("\n").count(line) for line in (begin, end)] == [quoted, quoted]


# Where they are used


def test_the_words_are_part_of_what_a_call_is_known_by(scripted_server: ScriptedServer) -> None:
    def key(template: Any) -> str:
        who = LLMDecider("openai/tiny", scripted_server.api_base, template=template)
        run = who.for_run(1, np.random.default_rng(1))
        return str(run.decide([exposure("a")], np.random.default_rng(0))[0].key)

    assert len({key(name) for name in SHIPPED}) == len(SHIPPED)
    assert key(replace(STANDARD, name="other", version="7")) == key("standard")
    system = scripted_server.requests[SHIPPED.index("no_persona")]["messages"][0]["content"]
    assert "personality" not in system


def test_a_record_names_the_template(
    scripted_server: ScriptedServer, file: Callable[..., Path]
) -> None:
    path = file('question = "Well?"')
    who = LLMDecider("openai/tiny", scripted_server.api_base, template=path)
    model = SpreadModel(n=20, k=4, decider=who, rng=1).run(steps=1)
    said = SpreadData.from_model(model).info[0].decider_info
    assert (said["template"], said["template_version"]) == ("mine", "1")
    assert said["template_hash"] == PromptTemplate.read(path).hash != STANDARD.hash
    assert scripted_server.requests[0]["messages"][1]["content"].endswith("Well?")


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
    longer = estimate(replace(STANDARD, question="Do you repost the news now, or rather not?"))
    assert longer.prompt_tokens > standard.prompt_tokens
    assert longer.most_prompt_tokens > standard.most_prompt_tokens


def test_a_template_can_be_a_part_of_plain_text(file: Callable[..., Path]) -> None:
    for name in SHIPPED:
        manifest = as_decider(f"llm:openai/tiny?template={name}").manifest()
        assert (manifest["model"], manifest["template"]) == ("openai/tiny", name)
    assert as_decider(f"llm:openai/tiny?template={file('')}").manifest()["template"] == "mine"
    for text in ("llm:openai/tiny?templat=x", "llm:openai/tiny?", "llm:openai/tiny?x"):
        with pytest.raises(UnknownNameError, match=r"setting.*: must be one of template"):
            as_decider(text)
    with pytest.raises(UnknownNameError, match="template='plain': must be one of standard"):
        as_decider("llm:openai/tiny?template=plain")


def test_questionnaires_use_the_template_s_words_for_personas(
    scripted_server: ScriptedServer, file: Callable[..., Path]
) -> None:
    scripted_server.script = Reply(json.dumps({"ratings": [3] * 20}))
    check_personas(LLMDecider("openai/tiny", scripted_server.api_base, template=file(GERMAN)))
    system = scripted_server.requests[0]["messages"][0]["content"]
    assert "Du bist sehr" in system
    with pytest.raises(ArgumentError, match="template='no_persona': must be one that has"):
        check_personas(LLMDecider("openai/tiny", scripted_server.api_base, template="no_persona"))


# The command line


def test_the_command_shows_what_a_model_would_be_told(file: Callable[..., Path]) -> None:
    shown = call("prompt", "--post", "They closed it!", "--post", "", "--profile", "oCEaN")
    system, user = prompt(STANDARD, exposure("They closed it!", "", profile="oCEaN"))
    assert shown == f"--- system ---\n{system}\n\n--- user ---\n{user}\n\n"
    assert "You have just seen the news yourself" in call("prompt")
    assert "the news before (2 times)" in call("prompt", "--before", 2)
    event = bundled_events()[5]
    assert event.text.replace(" ", "ˆ") in call("prompt", "--event", event.event_id)
    assert "START 000000000000" in call("prompt", "--template", "paraphrase")
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
    with pytest.raises(ReplayMissError, match="no call is kept for agent"):
        run("standard", "replay")
