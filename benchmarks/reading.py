"""The reader against a plain loop over transformers, one question's time, and a long text's."""

import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np
import psutil

from benchmarks.figure import Figure
from studio.models.readers import LoadedReader, load_reader
from studio.reader.answering import Answering
from studio.reader.documents import Document, pasted
from studio.reader.evaluation import predicted
from studio.reader.metrics import Scores, scores
from studio.reader.predictions import Predictions
from studio.reader.reading import Reader, reader_of
from studio.reader.squad import Asked, Squad, read_squad
from studio.reader_requests import AskRequest, Precision
from studio.services import Services, build_services
from studio.settings import Settings

_DEV = Path(__file__).resolve().parents[2] / "shared" / "squad" / "dev-v2.0.json.gz"
_CHUNKS = 8
_BATCH, _LENGTH, _STRIDE, _N_BEST, _LONGEST = 8, 384, 128, 20, 30
_PAGES = 300
_PAGE = 3000
"""Characters of a page."""
_ROUNDS = 15


def measure() -> list[Figure]:
    """Questions a second, EM and F1 against a plain loop; times of single questions."""
    dev = Path(os.environ.get("SQUAD_DEV", _DEV))
    if not dev.is_file():
        print(f"  {dev} is not there (SQUAD_DEV names another place): reading is not measured")
        return []
    squad = read_squad(dev)
    with tempfile.TemporaryDirectory() as folder:
        services = build_services(Settings(data_dir=Path(folder), device="cpu", dtype="float32"))
        try:
            return [*_single(services, squad), *_whole(services, squad)]
        finally:
            services.stop()


def _whole(services: Services, squad: Squad) -> list[Figure]:
    """The whole data set, in chunks that the ways of reading take in turn."""
    entry = services.readers.get("")
    plain = load_reader(entry.path)
    asked = list(squad.asked())
    edges = np.linspace(0, len(asked), _CHUNKS + 1).astype(int)
    readers = {}
    with ExitStack() as loans:
        for precision in (Precision.FULL, Precision.BFLOAT16, Precision.INT8):
            spec = services.answering.spec(entry.id, precision)
            readers[precision.value] = reader_of(
                loans.enter_context(services.engine.models.borrow(spec))
            )
        networks = {"plain": _torch(plain)} | _onnx(plain)
        seconds = dict.fromkeys([*networks, *readers], 0.0)
        texts: dict[str, dict[str, str]] = {way: {} for way in seconds}
        margins: dict[str, dict[str, float]] = {way: {} for way in seconds}
        for number, (first, last) in enumerate(pairwise(edges)):
            chunk = asked[first:last]
            ways = list(seconds)
            turned = number % len(ways)
            for way in ways[turned:] + ways[:turned]:
                began = time.perf_counter()
                if way in networks:
                    found = _plain(plain, networks[way], chunk)
                else:
                    found = _ours(readers[way], chunk)
                seconds[way] += time.perf_counter() - began
                texts[way] |= {key: text for key, (text, _) in found.items()}
                margins[way] |= {key: margin for key, (_, margin) in found.items()}
            rate = {way: round(float(last / spent), 1) for way, spent in seconds.items()}
            print(f"  {last:,} of {len(asked):,} questions, a second: {rate}", flush=True)
    sure = readers["full"].answerability
    made = {
        way: scores(
            squad,
            Predictions(
                texts[way], {key: sure.no_answer(each) for key, each in margins[way].items()}
            ),
            sure.threshold,
        )
        for way in seconds
    }
    return _figures(seconds, made)


def _figures(seconds: dict[str, float], made: dict[str, Scores]) -> list[Figure]:
    others = [way for way in seconds if way != "plain"]
    found = [
        Figure(f"reader {way}, times a plain loop's speed", seconds["plain"] / seconds[way], "x")
        for way in others
    ]
    for way, scored in made.items():
        found.append(Figure(f"EM of {way}", scored.all.exact, "%"))
        found.append(Figure(f"F1 of {way}", scored.all.f1, "%"))
    for way in others:
        for name in ("exact", "f1"):
            off = abs(getattr(made[way].all, name) - getattr(made["plain"].all, name))
            found.append(Figure(f"{way}: {name} off the plain loop's", off, "points", 0.1))
    return found


def _ours(reader: Reader, asked: Sequence[Asked]) -> dict[str, tuple[str, float]]:
    found = predicted(reader, asked)
    return {
        each.question.id: (found.texts[each.question.id], float(margin))
        for each, margin in zip(asked, found.margins, strict=True)
    }


_Network = Callable[[dict[str, np.ndarray]], tuple[np.ndarray, np.ndarray]]
"""From a batch to the scores of all starts and all ends."""


def _torch(loaded: LoadedReader) -> _Network:
    import torch

    def run(inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        with torch.no_grad():
            made = loaded.network(**{name: torch.tensor(each) for name, each in inputs.items()})
        return made.start_logits.numpy(), made.end_logits.numpy()

    return run


def _onnx(loaded: LoadedReader) -> dict[str, _Network]:
    """The same network in ONNX Runtime with weights of 8 bits, where that is installed."""
    import torch

    try:
        import onnxruntime
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        print("  onnx and onnxruntime are not installed: they are not measured")
        return {}
    names = loaded.tokenizer.model_input_names
    example = tuple(torch.ones((2, 16), dtype=torch.long) for _ in names)
    with tempfile.TemporaryDirectory() as folder:
        plain, rounded = Path(folder) / "plain.onnx", Path(folder) / "rounded.onnx"
        torch.onnx.export(
            loaded.network,
            kwargs=dict(zip(names, example, strict=True)),
            f=str(plain),
            input_names=names,
            output_names=["start", "end"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in [*names, "start", "end"]},
            dynamo=False,
        )
        quantize_dynamic(plain, rounded, per_channel=True, weight_type=QuantType.QInt8)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(rounded.read_bytes(), options)

    def run(inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        start, end = session.run(["start", "end"], inputs)
        return start, end

    return {"ONNX Runtime int8": run}


def _plain(
    loaded: LoadedReader, network: _Network, asked: Sequence[Asked]
) -> dict[str, tuple[str, float]]:
    """What people write: fixed batches padded to one length, then 20 starts by 20 ends."""
    made = loaded.tokenizer(
        [each.question.text.lstrip() for each in asked],
        [each.context for each in asked],
        truncation="only_second",
        max_length=_LENGTH,
        stride=_STRIDE,
        padding="max_length",
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    count = len(made["input_ids"])
    starts, ends = [], []
    for first in range(0, count, _BATCH):
        inputs = {
            name: np.array(made[name][first : first + _BATCH], dtype=np.int64)
            for name in loaded.tokenizer.model_input_names
        }
        start, end = network(inputs)
        starts.append(start)
        ends.append(end)
    start, end = np.concatenate(starts), np.concatenate(ends)
    windows: dict[int, list[int]] = {}
    for window, owner in enumerate(made["overflow_to_sample_mapping"]):
        windows.setdefault(owner, []).append(window)
    found = {}
    for number, each in enumerate(asked):
        null, best, text = np.inf, -np.inf, ""
        for window in windows[number]:
            whose = made.sequence_ids(window)
            offsets = made["offset_mapping"][window]
            null = min(null, start[window][0] + end[window][0])
            for i in np.argsort(-start[window])[:_N_BEST]:
                for j in np.argsort(-end[window])[:_N_BEST]:
                    if whose[i] != 1 or whose[j] != 1 or not i <= j < i + _LONGEST:
                        continue
                    score = start[window][i] + end[window][j]
                    if score > best:
                        best, text = score, each.context[offsets[i][0] : offsets[j][1]]
        found[each.question.id] = (text, float(null - best))
    return found


def _single(services: Services, squad: Squad) -> list[Figure]:
    """One question on one paragraph, and on a text of 300 pages, with a warm reader."""
    asked = list(squad.asked())[:: max(1, sum(1 for _ in squad.asked()) // _ROUNDS)]
    answering = services.answering
    _ask(answering, pasted(asked[0].context), asked[0].question.text)
    idle = _memory()
    short = [
        _ask(answering, pasted(each.context), each.question.text)
        for _ in range(3)
        for each in asked
    ]
    paragraphs = [p.context for article in squad.articles for p in article.paragraphs]
    text, long = "", []
    while len(text) < _PAGES * _PAGE:
        text += "\n\n".join(paragraphs) + "\n\n"
    most = idle
    for number, each in enumerate(asked):
        # Another text each time, so that nothing is remembered of it.
        began = time.perf_counter()
        document = pasted(text[number : number + _PAGES * _PAGE])
        _ask(answering, document, each.question.text)
        long.append(time.perf_counter() - began)
        most = max(most, _memory())
        del document
    return [
        Figure(
            "a question on a paragraph, warm, median", 1000 * statistics.median(short), "ms", 30
        ),
        Figure("a question on 300 pages, with their indexing", statistics.median(long), "s", 3),
        Figure("... memory above idle, most", (most - idle) / 1e6, "MB", 300),
    ]


def _ask(answering: Answering, document: Document, question: str) -> float:
    began = time.perf_counter()
    answering.ask(document, AskRequest(question=question))
    return time.perf_counter() - began


def _memory() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)
