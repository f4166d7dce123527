"""The slides of the six weeks: each shows what its notebook holds, asks no other host, and fits on the screen."""
import re
from dataclasses import replace

import pytest

from tofy.errors import RunError
from tools import npm, slides
from tools.lab import CHROMIUM
from tools.site.check import Page, remote

def test_every_slide_shows_what_its_notebook_holds():
    "A sentence, a picture or a heading that is gone is named with its notebook."
    assert not slides.faults()
    part = next(part for slide in slides.plan(1) for part in slide.parts if part.kind == "says")
    with pytest.raises(slides.BadPlan, match="000_sixty_lines.ipynb does not say .any longer.: The moon"):
        slides.shown(slides.Slide("x"), replace(part, which="The moon is made of cheese."))
    with pytest.raises(slides.BadPlan, match="asks for number 9"):
        slides.shown(slides.Slide("x"), replace(part, kind="picture", which="9"))
    with pytest.raises(slides.BadPlan, match="no heading 'Nowhere'"):
        slides.shown(slides.Slide("x"), replace(part, kind="picture", which="", heading="Nowhere"))
    with pytest.raises(slides.BadPlan, match="prints no lines from 'the' to 'moon'"):
        slides.lines(replace(part, kind="output", which="1 the .. moon"), "the\nsun")
    assert slides.lines(replace(part, kind="output", which="1 b .. d"), "a\nbe\nc\nde\ne") == "be\nc\nde"
    with pytest.raises(slides.BadPlan, match="defines no attention_v9"):
        slides.shown(slides.Slide("x"), replace(part, kind="code", which="attention_v9"))


@pytest.mark.parametrize("week", range(1, 7))
def test_a_week_has_ten_to_eighteen_slides_of_one_idea(week):
    "Most with a picture, few with many words; guesses before answers; a lab and an exercise before the question."
    planned = slides.plan(week)
    assert 10 <= len(planned) + 2 <= 18
    told = [[part.kind for part in slide.parts] for slide in planned]
    assert sum("picture" in kinds for kinds in told) >= len(told) / 3
    assert sum("ask" in kinds or "wait" in kinds for kinds in told) >= 2
    assert max(kinds.count("says") for kinds in told) <= 4
    assert {"lab", "exercise"} == {*told[-1]}
    words = [sum(len(part.which.split()) for part in slide.parts if part.kind == "says") for slide in planned]
    assert max(words) <= 60 and sorted(words)[len(words) // 2] <= 30
    of_the_week = {chapter.path.stem for chapter in slides.weeks()[week - 1].chapters}
    assert {part.source for slide in planned for part in slide.parts if part.kind not in ("lab", "exercise")} == of_the_week


def test_the_weeks_are_those_of_the_routes():
    "The weeks, their chapters and questions stand in one place; chapter 0 is the grammar, though three files have the number 00."
    weeks = slides.weeks()
    assert [week.number for week in weeks] == [1, 2, 3, 4, 5, 6] and all(week.question.strip() for week in weeks)
    assert weeks[5].chapters[-1].path.stem == "00_corpus" and weeks[0].chapters[0].minutes == 20


def test_a_part_of_a_picture():
    "A half is half as wide, whatever the kind of picture."
    svg = {"image/svg+xml": '<svg viewBox="0 0 300 200"><g/></svg>'}
    assert 'viewBox="150 0 150 200"' in slides.picture(svg, "words", ["right"])
    assert 'viewBox="0 120 150 80"' in slides.picture(svg, "words", ["bottom", ".4", "left"])
    assert slides.picture(svg, "words", []).startswith('<figure><img src="data:image/svg+xml;base64,')
    assert slides.size(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\0\x10", "image/png") == (256, 16)
    assert "prefers" not in slides.DARK.sub("", "a{}\n@media(prefers-color-scheme:dark){.tofy{}}\nb{}")


def test_a_week_is_one_file_that_asks_no_other_host(tmp_path, monkeypatch):
    "Links may lead elsewhere; nothing is loaded from anywhere, and every picture has words."
    dist = tmp_path / "dist" / "plugin"
    dist.mkdir(parents=True)
    for path in (dist / "notes.js", dist.parent / "reveal.js", dist.parent / "reveal.css"):
        path.write_text("/* {{not}} ours */")
    monkeypatch.setattr(npm, "package", lambda name: tmp_path)
    slides.write(tmp_path / "slides", "../")
    assert len(list((tmp_path / "slides").iterdir())) == 7
    for path in (tmp_path / "slides").iterdir():
        page, text = Page(path), path.read_text()
        assert not [load for load in page.loads if not load.startswith("data:")] and not page.mute
        assert not re.search(r"url\((?!data:)|@import", text) and path.stat().st_size < 2_000_000
        assert not [link for link in page.links if remote(link)], "on the site all links stay there"
        assert path.name == "index.html" or text.count("<section>") == text.count("</section>") == len(slides.plan(int(path.stem[-1]))) + 2
    told = (tmp_path / "slides" / "week1.html").read_text()
    assert 'class="answer fragment"' in told and '<aside class="notes"><p>' in told and "../sixty_lines.html#Train-it" in told


ROOM = """() => {
  const slide = Reveal.getCurrentSlide().querySelector(".slide"), foot = slide.querySelector("footer").getBoundingClientRect();
  const boxes = [...slide.querySelectorAll("h1, h2, p, pre, table, figure, ul, div, img")].map(node => node.getBoundingClientRect());
  const figure = slide.querySelector("figure")?.getBoundingClientRect(), full = slide.getBoundingClientRect();
  return {below: Math.max(...boxes.map(box => box.bottom)) - foot.top, beside: Math.max(...boxes.map(box => box.right)) - full.right,
          figure: figure ? figure.height / full.height : 1, high: slide.scrollHeight - slide.clientHeight};
}"""


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")
def test_no_slide_is_too_full(offline, tmp_path):
    "At 1280 by 720, with all answers in sight, nothing hides the line at the bottom and a picture has two fifths of the height."
    try:
        slides.write(tmp_path / "slides")
    except RunError as why:
        pytest.skip(str(why))
    for week in slides.weeks():
        page = offline(tmp_path / "slides", f"week{week.number}.html", ".reveal.ready .slide")
        page.set_viewport_size(dict(width=1280, height=720))
        assert page.evaluate("Reveal.getTotalSlides()") == len(slides.plan(week.number)) + 2
        for number in range(page.evaluate("Reveal.getTotalSlides()")):
            page.evaluate(f"Reveal.slide({number}, 0, 99)")
            page.wait_for_function("[...Reveal.getCurrentSlide().querySelectorAll('.fragment')].every(part => part.classList.contains('visible'))")
            page.wait_for_function("[...document.images].every(picture => picture.complete)")
            room = page.evaluate(ROOM)
            assert room["below"] <= 1 and room["beside"] <= 1 and room["high"] <= 1 and room["figure"] >= .4, (week.number, number + 1, room)


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")
def test_an_answer_waits_for_a_click(offline, tmp_path):
    "The question stands alone until a key is pressed."
    try:
        slides.write(tmp_path / "slides")
    except RunError as why:
        pytest.skip(str(why))
    page = offline(tmp_path / "slides", "week1.html", ".reveal.ready .slide")
    asked = next(i for i, slide in enumerate(slides.plan(1), 1) if slide.parts[0].kind == "ask")
    page.evaluate(f"Reveal.slide({asked})")
    answer = page.locator("section.present .answer")
    assert answer.evaluate("node => getComputedStyle(node).visibility") == "hidden"
    page.keyboard.press("ArrowRight")
    page.wait_for_function("getComputedStyle(document.querySelector('section.present .answer')).visibility === 'visible'")
    assert page.evaluate("Reveal.getState().indexh") == asked
