"""The live page: its ONNX models against torch, and the page itself in Chromium, without a network.

Every figure on the page is compared with what the package says of the same phrase; nothing is compared with the page's own.
"""
import gzip
import re
import unicodedata
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import torch
from conftest import HANG

pytest.importorskip("onnx", reason="the live page needs the extra docs: pip install -e '.[docs]'")
pytest.importorskip("onnxruntime", reason="the live page needs the extra docs: pip install -e '.[docs]'")

from tofy import corpus
from tofy.encoder import LatentModel, ModelConfig
from tofy.errors import RunError, UsageError
from tofy.gap import uniform_odds
from tofy.inference import READY, diff, fill, load, nearest_words, read_blank
from tofy.vocab import MASK, SPECIALS, UNK, tokenize
from tools.everyday import MODEL
from tools.graph import onnx_graph, run_onnx
from tools.lab import CHROMIUM
from tools.live import ROOT, RUNS, build, familiar, fitted_temperature, law_of, rightness
from tools.npm import package

PHRASES = ["did you _ the soup at the cafe ?", "the peaches i _ yesterday were terribly salty .", "_ you",
           "Hey MARIA, don't you like the _?", "we’re at the café with zzyzx and _", "_ 你好 , naïve ½ tom's cat"]
LETTERS = [chr(i) for i in range(0x110000) if unicodedata.category(chr(i)) not in ("Cn", "Cs")]
TEXTS = [*PHRASES, "don't  stop--now!", "’tis ΟΔΥΣΣΕΥΣ İstanbul I\u0307stanbul", "e\u0301 ﬁ 2½ x_y\u0085z\x1cw\ufeffv",
         "‘Twas the night’s end,’ “a” «b» o'clock", "می\u200cخواهم co\u00adop ❤\ufe0f👍🏽🇩🇪#\ufe0f\u20e3 a\u200bb <unk> <UNK> << unk>",
         *(" ".join(f"a{c}b{c}" for c in LETTERS[i:i + 2000]) for i in range(0, len(LETTERS), 2000))]
DRAWS = 300


@pytest.fixture(params=RUNS)
def recipe(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def latents() -> dict:
    return {name: load(READY / folder) for name, folder in RUNS.items()}


@pytest.fixture(scope="module")
def wide():
    return load(MODEL)


# ---- ONNX and torch

def phrases_of(vocab_size: int, lengths: list[int]) -> list[list[int]]:
    "Random ids, a blank in each: at the start, in the middle or at the end."
    draw = torch.Generator().manual_seed(0)
    rows = [torch.randint(len(SPECIALS), vocab_size, (n,), generator=draw).tolist() for n in lengths]
    for i, row in enumerate(rows):
        row[(0, len(row) // 2, -1)[i % 3]] = MASK
    return rows


def largest_difference(model: LatentModel, content: bytes, rows: list[list[int]]) -> float:
    "Between the cosines that onnxruntime and torch give to every word."
    with torch.no_grad():
        wanted = [model.cosines(model(torch.tensor([row]), torch.tensor([row]) == MASK)[0])[0] for row in rows]
    return max((torch.from_numpy(got) - want).abs().max().item() for got, want in zip(run_onnx(content, rows), wanted))


def test_onnx_agrees_with_torch(latents, recipe):
    "The models of the page: stored in half precision as the runs are, computed in single precision on either side."
    model = latents[recipe].model
    rows = phrases_of(len(latents[recipe].vocab), [1, 2, 3, 5, 8, 13, 21, 34, 55, 71, 72])
    rows[4][0] = UNK
    worst = largest_difference(model, onnx_graph(model).SerializeToString(), rows)
    print(f"\n{recipe}: ONNX and torch differ by {worst:.1e} at the most")
    assert worst < 1e-4


def test_onnx_agrees_with_torch_in_everyday_english(wide):
    rows = phrases_of(len(wide.vocab), [1, 2, 5, 9, 32])
    assert largest_difference(wide.model, onnx_graph(wide.model).SerializeToString(), rows) < 1e-4


@pytest.mark.parametrize("shape", [dict(positions="learned", predictor="identity"), dict(positions="none", predictor="mlp"),
                                   dict(positions="sinusoidal", attend_padding=True), dict(layers=0), dict(layers=3, heads=1)])
def test_every_kind_of_model_can_be_exported(shape):
    "Weights in single precision agree as they are; in half precision, with the model rounded likewise."
    torch.manual_seed(0)
    model = LatentModel(ModelConfig(**dict(vocab_size=50, dim=16, layers=2, heads=2, max_seq=12) | shape)).eval()
    rows = phrases_of(50, [1, 2, 7, 11, 12])
    assert largest_difference(model, onnx_graph(model, half=False).SerializeToString(), rows) < 1e-4
    halves = onnx_graph(model).SerializeToString()
    assert largest_difference(model.half().float(), halves, rows) < 1e-4


def test_rows_made_from_spellings_can_be_exported():
    torch.manual_seed(0)
    model = LatentModel(ModelConfig(vocab_size=50, dim=16, heads=2, max_seq=12, ngrams=100)).eval()
    model.spell([*SPECIALS, *(f"word{i}" for i in range(47))])
    assert largest_difference(model, onnx_graph(model, half=False).SerializeToString(), phrases_of(50, [2, 7, 12])) < 1e-4


def test_law_of_a_blank():
    "Where everything but one word is fixed the law is certain; what the grammar cannot make has none."
    tokens = "would you like to hear another duet afterwards ?".split()
    assert law_of(tokens, 1) == [1, 1., 1., "you", 1.]
    rank, p, spread, *top = law_of(tokens, 6)
    law = corpus.posterior(tokens, 6)
    assert list(law)[rank - 1] == "duet" and p == pytest.approx(law["duet"], abs=1e-6) and 1 < spread <= len(law) + .01
    assert law_of("no such phrase is ever made".split(), 2) is None


def test_the_temperature_fits_best(wide):
    "Halved or doubled, the shares fit the words that stood there worse."
    said = (MODEL / "heldout.txt").read_text(encoding="utf-8").splitlines()[:20]
    asked = [(line.split(), len(line.split()) // 2) for line in said]
    best, rows = fitted_temperature(wide, asked), [wide.vocab.encode(line) for line in said]
    found = wide.model.cosines(wide.at_blank(*[[*row[:i], MASK, *row[i + 1:]] for row, (_, i) in zip(rows, asked)])[0])[:, len(SPECIALS):]
    ids = [row[i] for row, (_, i) in zip(rows, asked)]
    losses = [torch.nn.functional.cross_entropy(found / t, torch.tensor(ids) - len(SPECIALS)).item() for t in (best / 2, best, best * 2)]
    assert losses[1] == min(losses)


def test_a_phrase_in_no_order_is_less_familiar(wide):
    said = "could you please pass the salt ?".split()
    assert familiar(wide, said, 5, .07) > familiar(wide, said[::-1], 1, .07) + .5
    unknown = familiar(wide, ["zzyzx", "zzyzx", "salt"], 2, .07)
    assert unknown == pytest.approx(-torch.tensor(float(len(wide.vocab) - len(SPECIALS))).log().item(), abs=1e-5)


def test_how_often_an_answer_is_right_by_its_share(wide):
    "The parts are of one size and together as often right as all; an answer that is surer is more often right."
    said = (MODEL / "heldout.txt").read_text(encoding="utf-8").splitlines()[:200]
    asked = [(wide.vocab.tokenize(line), i % 3) for i, line in enumerate(said) if len(wide.vocab.tokenize(line)) > 3]
    asked = [(tokens, i) for tokens, i in asked if UNK not in wide.vocab.encode(" ".join(tokens))]
    asked = asked[:len(asked) // 4 * 4]
    told = rightness(wide, asked, .07, 4)
    hits = [fill(wide, " ".join([*t[:i], "_", *t[i + 1:]]), 1).top[0][0] == t[i] for t, i in asked]
    assert [least for least, _ in told] == sorted(least for least, _ in told) and told[0][0] == 0
    assert sum(right for _, right in told) / 4 == pytest.approx(sum(hits) / len(hits), abs=.002)
    assert told[-1][1] > told[0][1] + .3


# ---- the page

on_site = [pytest.mark.site, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    try:
        package("onnxruntime-web")
    except RunError as why:
        pytest.skip(str(why))
    folder = tmp_path_factory.mktemp("live")
    build(folder, draws=DRAWS)
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def served(built):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(built)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()


def opened(browser, address: str, **context):
    "The page with all models loaded. What it asks for outside its own folder is refused, and noted in `page.asked`."
    context = browser.new_context(**context)
    if address.startswith("file:"):
        context.set_offline(True)
    asked, home = [], address.rpartition("/")[0]
    context.route(re.compile(r"^(?!blob:|data:)"), lambda route: (asked.append(route.request.url), (
        route.continue_() if route.request.url.startswith(home) else route.abort()))[1])
    page = context.new_page()
    page.asked, page.faults = asked, []
    page.set_default_timeout(1000 * HANG)
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("html[data-both]", state="attached")
    return page


@pytest.fixture(scope="module", params=["http", "file"])
def page(request, browser, built, served):
    address = served if request.param == "http" else (built / "index.html").as_uri()
    page = opened(browser, address)
    print(f"\n{request.param}: first answer {page.evaluate('document.documentElement.dataset.ready')} ms after the start")
    yield page
    assert page.faults == []
    assert all(url.startswith(address.rpartition("/")[0]) for url in page.asked), page.asked
    page.context.close()


def ask(page, phrase: str, recipe: str = "tofy") -> None:
    page.check(f"[value={recipe}]")
    before = page.evaluate("state.turn")
    page.fill("#typed", phrase)
    page.press("#typed", "Enter")
    page.wait_for_function(f"state.turn > {before} && asked.tokens.length && Object.keys(state.found).length == Object.keys(state.data.runs).length")
    page.evaluate("ask(asked.tokens, asked.word, asked.ready)")        # resolves when this and all before is drawn


def cells(page, table: str) -> list[list[str]]:
    "The texts of a table's rows."
    rows = page.evaluate(f"[...document.querySelectorAll('{table} tbody tr')].map(r => [...r.cells].map(c => c.innerText))")
    return [[cell.strip() for cell in row] for row in rows]


def slide(page, name: str, value: float) -> None:
    page.evaluate("([id, v]) => { at(id).value = v; at(id).dispatchEvent(new Event('input')); }", [name, value])


class TestPage:
    pytestmark = on_site

    def test_answers_are_those_of_the_package(self, page, latents, recipe):
        for phrase in PHRASES:
            ask(page, phrase, recipe)
            want, got = fill(latents[recipe], phrase, 8), cells(page, "#said")
            assert [row[1] for row in got] == [word for word, _ in want.top], phrase
            assert [float(row[2]) for row in got] == pytest.approx([cosine for _, cosine in want.top], abs=6e-4), phrase
            assert page.inner_text("#phrase .blank").endswith(want.top[0][0])

    def test_tokens_are_those_of_the_package(self, page, latents):
        for rule in ("unicode-1", "unicode-2"):
            found = page.evaluate("([texts, rule]) => texts.map(text => tofy.tokenize(text, rule))", [TEXTS, rule])
            for text, got in zip(TEXTS, found, strict=True):
                assert got == tokenize(text, rule), (rule, text[:40])
        typed = "‘Twas a <unk> night’ ❤\ufe0f"
        assert page.evaluate("text => tofy.tokenize(text)", typed) == latents["tofy"].vocab.tokenize(typed)

    def test_what_is_wrong_is_said(self, page, latents):
        for phrase in ("", "   ", "no blank here", "_ two _", "_", "[MASK]", "a [mask] b [MASK] c", "_ " + "word " * 80):
            page.fill("#typed", phrase)
            page.press("#typed", "Enter")
            assert len(page.inner_text("#trouble")) > 20, phrase
            with pytest.raises((RunError, UsageError)):
                latents["tofy"].predict(read_blank(latents["tofy"].vocab, phrase))
        ask(page, "the zzyzx is _")
        assert "zzyzx" in page.inner_text("#trouble")

    def test_a_word_is_hidden_by_pressing_it(self, page, latents, recipe):
        page.check(f"[value={recipe}]")
        page.evaluate("show(state.data.phrases[7].tokens, 1, state.data.phrases[7])")
        tokens = page.evaluate("state.data.phrases[7].tokens")
        place = max(range(2, len(tokens)), key=lambda i: len(corpus.posterior(tokens, i)))
        page.locator("#phrase button").nth(place - 1).click()               # the blank itself is no button
        page.wait_for_function(f"asked.place == {place} && answered().order")
        page.evaluate("ask(asked.tokens, asked.word, asked.ready)")
        law = corpus.posterior(tokens, place)
        got = cells(page, "#exact")
        assert [row[1].split()[0] for row in got][:8] == list(law)[:8]
        assert float(got[0][2].rstrip("%")) / 100 == pytest.approx(max(law.values()), abs=.006)
        question = " ".join([*tokens[:place], "_", *tokens[place + 1:]]) + f" => {tokens[place]}"
        rank = diff(latents[recipe], question).rank
        row = next(row for row in cells(page, "#said") if row[1].startswith(tokens[place]))
        assert int(row[0].replace(",", "")) == rank
        assert page.evaluate("document.activeElement.className") == "blank"

    def test_temperature_turns_cosines_into_shares(self, page, latents):
        ask(page, PHRASES[0])
        latent = latents["tofy"]
        for temperature in (.02, .3):
            slide(page, "temperature", torch.tensor(temperature).log10().item())
            at = page.evaluate("state.temperature")
            with torch.no_grad():
                cosines = latent.model.cosines(latent.predict(read_blank(latent.vocab, PHRASES[0]))[None])[0, len(SPECIALS):]
            want = (cosines / at).softmax(0)
            shown = page.evaluate("Array.from(tofy.shares(state.data, answered().cosines, state.temperature))")
            assert shown[len(SPECIALS):] == pytest.approx(want.tolist(), abs=1e-4) and sum(shown) == pytest.approx(1)
            spread = torch.special.entr(want).sum().exp().item()
            assert f"over {spread:.1f} words" in page.inner_text("#temperature-says")
            assert float(cells(page, "#said")[0][3].rstrip("%")) / 100 == pytest.approx(want.max().item(), abs=.006)

    def test_everyday_english_answers_first_and_as_the_package_does(self, page, wide):
        page.check("[value=everyday]")
        for phrase in ("the _ barks at night", "don't _ the door", "it's an _ , isn't it ?"):
            ask(page, phrase, "everyday")
            want = fill(wide, phrase, 8)
            assert [row[1] for row in cells(page, "#said")] == [word for word, _ in want.top]
            at = wide.vocab.tokenize(phrase.replace("_", want.top[0][0]))
            place = wide.vocab.tokenize(phrase.replace("_", "zzyzx")).index("zzyzx")
            temperature = page.evaluate("state.data.runs.everyday.temperature")
            shown = float(page.evaluate("document.documentElement.dataset.familiar"))
            assert shown == pytest.approx(familiar(wide, at, place, temperature), abs=.01)
            assert "together" in page.inner_text("#sure-says") and not page.is_visible("#best")

    def test_a_strange_phrase_is_called_so(self, page):
        ask(page, "could you please pass the _ ?", "everyday")
        assert "I don't know" not in page.inner_text("#sure-says")
        ask(page, "salt the the pass _ please you could up", "everyday")
        assert "I don't know this kind of phrase" in page.inner_text("#sure-says")

    def test_what_speaks_against_an_answer_stands_beside_it(self, page):
        def warned(phrase, recipe="everyday"):
            ask(page, phrase, recipe)
            return page.inner_text("#warning") if page.is_visible("#warning") else ""

        assert "does not know 2 of the 4 words around the blank and answers without them" in warned("zzyzx , my qwrtz is _ .")
        assert "does not know a single word of the phrase" in warned("zzyzx _", "tofy")
        assert "don't trust the answer" in warned("zzyzx qwrtz pass the pass _ up could")
        strange = warned("salt the the pass _ please you could up")
        assert "It knows the words, but has read nothing like this phrase" in strange and "does not know" not in strange
        guess = warned("i bought a _ yesterday .")
        assert "It is guessing" in guess and re.search(r"was (right in [\d.]+%|hardly ever right)\.", guess) and "< " not in guess and "nothing like" not in guess
        assert warned("could _ please pass the salt ?") == "" == warned("did you _ the soup at the cafe ?", "tofy")
        page.fill("#typed", "no blank here")
        page.press("#typed", "Enter")
        assert not page.is_visible("#warning")

    def test_how_often_it_warns(self, page):
        "Rates of the page's own measure: of its kind one in twenty, of shuffled phrases nearly all; a surer answer is righter."
        rates, right = page.evaluate("[state.worlds.everyday.familiar, state.worlds.everyday.right]")
        print("\n", rates, right)
        assert rates["mixed"] > .8 and rates["mixed"] > rates["other"]
        assert right[-1][1] > right[0][1] + .3 and page.evaluate("tofy.rightness([[0, .1], [.5, .9]], .5)") == .9

    def test_unknown_words_are_offered_their_nearest(self, page):
        near = page.evaluate("['dogg', 'barkedd', 'borrowings', 'brothr', 'zzyzx'].map(w => tofy.similar(state.worlds.everyday, w))")
        assert "dog" in near[0] and "barked" in near[1] and "borrow" in near[2] and near[3][0] == "brother" and not near[4]
        assert page.evaluate("['barking', 'barked', 'barks', \"bark's\", 'stopped', 'hopes', 'hoping', 'studies'].map(tofy.stem)") == [
            "bark", "bark", "bark", "bark", "stop", "hop", "hop", "study"]
        assert page.evaluate("[['ab', 'ba'], ['kitten', 'sitting'], ['a', ''], ['x', 'x']].map(([a, b]) => tofy.edits(a, b))") == [1, 3, 1, 0]
        ask(page, "the dogg _ at the postman", "everyday")
        page.locator("#trouble button", has_text=re.compile("^dog$")).click()
        page.wait_for_function("asked.tokens[1] == 'dog' && answered()?.order")
        assert page.input_value("#typed") == "the dog _ at the postman" and page.inner_text("#trouble") == ""

    def test_the_course_offers_the_wider_words(self, page):
        ask(page, "the penguin likes _")
        assert "Everyday English knows" in page.inner_text("#trouble")
        page.locator("#trouble button", has_text="ask it").click()
        page.wait_for_function("state.recipe == 'everyday' && answered()?.order")
        assert page.inner_text("#trouble") == "" and page.evaluate("asked.tokens")[1] == "penguin"

    @pytest.mark.parametrize("recipe", ["everyday", "tofy"])
    def test_a_refused_phrase_takes_the_old_answer_away(self, page, recipe):
        for phrase in ("no blank here", "", "_ two _"):
            ask(page, "did you _ the soup ?", recipe)
            assert cells(page, "#said") and page.inner_text("#phrase")
            page.fill("#typed", phrase)
            page.press("#typed", "Enter")
            assert not cells(page, "#said") and not page.inner_text("#phrase") and "says" not in page.inner_text("#verdict")
            assert page.inner_text("#sure-says") == "" if recipe == "everyday" else not cells(page, "#exact")
        ask(page, "did you _ the soup ?", recipe)
        assert cells(page, "#said")

    def test_odds_against_random_rivals(self, page):
        ask(page, PHRASES[0])
        assert page.evaluate("tofy.first(3, 10, 2)") == pytest.approx(21 / 36)        # choose(7,2) / choose(9,2)
        for rank, words, rivals in [(1, 10, 9), (10, 10, 1), (4, 1146, 32), (300, 1146, 3), (2, 1146, 1145)]:
            want = uniform_odds(torch.tensor([rank]), words, rivals + 1)[0].item()
            assert page.evaluate(f"tofy.first({rank}, {words}, {rivals})") == pytest.approx(want, abs=1e-9)
        counts = page.evaluate("state.data.ranks.unigram")
        ranks = torch.tensor([rank for rank, times in counts for _ in range(times)])
        words = page.evaluate("state.data.count")
        for stop, k in ((0, 1), (page.evaluate("state.stops.length - 1"), words - 1)):
            slide(page, "rivals", stop)
            shown = float(cells(page, "#odds")[3][1].rstrip("%"))
            assert shown == pytest.approx(100 * uniform_odds(ranks, words, k + 1)[0].mean().item(), abs=.51)
        assert shown == pytest.approx(100 * (ranks == 1).float().mean().item(), abs=.51)  # all others: top-1
        best, ours, notes, unigram = (page.evaluate(f"tofy.meanReciprocal(state.data.ranks.{name})")
                                        for name in ("best", "tofy", "notes", "unigram"))
        assert best > ours > notes > unigram

    def test_the_map_by_mouse_keyboard_and_search(self, page, latents, recipe):
        ask(page, PHRASES[0], recipe)
        latent = latents[recipe]
        near = [[word, f"{cosine:.2f}"] for word, cosine in nearest_words(latent, "soup", 6)]
        page.fill("#find", "soup")
        assert page.inner_text("#map-says strong") == "soup" and cells(page, "#near") == near
        page.focus("#plot")
        page.keyboard.press("ArrowLeft")
        left = page.inner_text("#map-says strong")

        def at(word):
            return page.evaluate(f"project(here().points[state.data.ids.get({word!r})])")

        assert left != "soup" and at(left)[0] < at("soup")[0]
        page.locator("#map").scroll_into_view_if_needed()
        box, (x, y) = page.locator("#map").bounding_box(), at("soup")
        page.mouse.move(box["x"] + 2, box["y"] + 2)
        page.mouse.move(box["x"] + x, box["y"] + y)
        found = page.inner_text("#map-says strong")
        assert torch.dist(torch.tensor(at(found)), torch.tensor([x, y])) < 2           # it, or a dot on top of it
        slide(page, "zoom", 3)
        assert len(page.locator("#near button").all()) == 6
        page.locator("#near button").first.click()
        slide(page, "zoom", 0)

    @pytest.mark.parametrize("width, scheme", [
        (390, "light"), (1280, "dark"), *(pytest.param(*other, marks=pytest.mark.slow) for other in ((390, "dark"), (1280, "light")))])
    def test_axe_finds_no_serious_fault(self, browser, built, width, scheme):
        try:
            axe = (package("axe-core") / "axe.min.js").read_text(encoding="utf-8")
        except RunError as why:
            pytest.skip(str(why))
        page = opened(browser, (built / "index.html").as_uri(), viewport=dict(width=width, height=844), color_scheme=scheme)
        page.fill("#find", "soup")
        page.evaluate(axe)
        found = page.evaluate("axe.run()")["violations"]
        serious = [(v["id"], v["impact"], [n["html"] for n in v["nodes"]][:3]) for v in found
                   if v["impact"] in ("serious", "critical")]
        assert not serious, serious
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        pictures = ROOT / "build" / "screenshots"
        pictures.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=pictures / f"live-{width}-{scheme}.png", full_page=True)
        print("\nlesser:", [(v["id"], v["impact"]) for v in found if v["impact"] not in ("serious", "critical")])
        page.context.close()

    def test_it_is_small_and_speaks_to_nobody(self, built):
        wire = sum(len(gzip.compress(path.read_bytes())) for path in built.iterdir())
        raw = sum(path.stat().st_size for path in built.iterdir())
        print(f"\n{raw / 1e6:.2f} MB as it lies, {wire / 1e6:.2f} MB over a wire that compresses")
        assert wire < 8e6 and raw < 9.5e6
        assert (4 * len(gzip.compress(onnx_graph(load(MODEL).model).SerializeToString())) / 3) < 3e6   # what the third model adds
        assert "connect-src 'none'" in (built / "index.html").read_text(encoding="utf-8")
