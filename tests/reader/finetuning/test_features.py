"""Windows with their labels, against what run_qa.py of transformers makes of the same data."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_readers import ARCHITECTURES, make_reader

from studio.errors import DataError
from studio.models.readers import load_reader
from studio.reader.finetuning.features import features, tokenizer_hash
from studio.reader.squad import Squad, parse_squad, read_squad
from studio.reader.windows import Encoder

SMALL = Path(__file__).resolve().parents[2] / "data" / "small-v2.0.json"
MAX_LENGTH, OVERLAP = 128, 24


def of_run_qa(squad: Squad, tokenizer) -> list[tuple[list[int], list, int, int]]:
    """prepare_train_features of run_qa.py: ids, offsets, start and end of each window."""
    asked = list(squad.asked())
    found = []
    for each in asked:
        told = tokenizer(
            each.question.text.strip(),
            each.context,
            truncation="only_second",
            max_length=MAX_LENGTH,
            stride=OVERLAP,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        for i, offsets in enumerate(told["offset_mapping"]):
            ids, whose = told["input_ids"][i], told.sequence_ids(i)
            cls = ids.index(tokenizer.cls_token_id)
            start, end = cls, cls
            if each.question.answers:
                answer = each.question.answers[0]
                first, last = whose.index(1), len(whose) - 1 - whose[::-1].index(1)
                if offsets[first][0] <= answer.start and offsets[last][1] >= answer.end:
                    while first < len(offsets) and offsets[first][0] <= answer.start:
                        first += 1
                    start = first - 1
                    while offsets[last][1] >= answer.end:
                        last -= 1
                    end = last + 1
            found.append((ids, offsets, start, end))
    return found


@pytest.mark.parametrize("architecture", [a for a in ARCHITECTURES if a != "xlnet"])
def test_windows_and_labels_are_those_of_run_qa(architecture, tmp_path):
    loaded = load_reader(make_reader(tmp_path / "reader", architecture))
    squad = read_squad(SMALL)
    encoder = Encoder(loaded.tokenizer, loaded.longest, MAX_LENGTH, OVERLAP)
    data = features(squad, encoder, "any", tmp_path)
    ours = [data.rows(np.array([place])) for place in range(len(data))]
    theirs = of_run_qa(squad, loaded.tokenizer)
    assert len(ours) == len(theirs) > len(list(squad.asked())), "some passages take two windows"
    for mine, (ids, offsets, start, end) in zip(ours, theirs, strict=True):
        assert mine["ids"][0].tolist() == ids
        # Where a character is several tokens of bytes, run_qa.py leaves out its outer ones, and
        # ours has all of them: the characters are the same.
        first, last = mine["start"][0], mine["end"][0]
        assert first <= start <= end <= last
        assert (offsets[first][0], offsets[last][1]) == (offsets[start][0], offsets[end][1])
    assert any(start != end for *_, start, end in theirs)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return load_reader(make_reader(tmp_path_factory.mktemp("reader"), "bert"))


def test_a_batch_is_padded_and_masked(loaded, tmp_path):
    encoder = Encoder(loaded.tokenizer, loaded.longest, MAX_LENGTH, OVERLAP)
    data = features(read_squad(SMALL), encoder, "any", tmp_path)
    places = np.array([int(data.lengths.argmin()), int(data.lengths.argmax())])
    batch = data.batch(places, multiple=8)
    assert batch.ids.shape[1] % 8 == 0
    assert batch.mask.sum(1).tolist() == data.lengths[places].tolist()
    assert set(batch.ids[0][batch.mask[0] == 0].tolist()) == {encoder.pad_id}
    assert data.batch(places).ids.shape[1] == data.lengths.max()
    assert set(batch.inputs("cpu", True)) == {"input_ids", "attention_mask", "token_type_ids"}
    assert set(batch.inputs("cpu", False)) == {"input_ids", "attention_mask"}


def test_they_are_made_once_for_data_tokenizer_and_sizes(loaded, tmp_path):
    squad = read_squad(SMALL)
    encoder = Encoder(loaded.tokenizer, loaded.longest, MAX_LENGTH, OVERLAP)
    name = features(squad, encoder, tokenizer_hash(loaded.tokenizer), tmp_path).name
    [file] = tmp_path.iterdir()
    made = file.stat().st_mtime_ns
    assert features(squad, encoder, tokenizer_hash(loaded.tokenizer), tmp_path).name == name
    assert file.stat().st_mtime_ns == made
    other = Encoder(loaded.tokenizer, loaded.longest, MAX_LENGTH, OVERLAP + 1)
    names = {
        features(squad, other, tokenizer_hash(loaded.tokenizer), tmp_path).name,
        features(squad, encoder, "another", tmp_path).name,
    }
    assert name not in names
    assert len(names) == 2


def test_data_without_a_question_is_refused(loaded, tmp_path):
    empty = parse_squad(json.dumps({"data": []}).encode(), "empty.json")
    encoder = Encoder(loaded.tokenizer, loaded.longest)
    with pytest.raises(DataError, match="has no question"):
        features(empty, encoder, "any", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_question_without_room_is_refused_with_its_id(loaded, tmp_path):
    told = json.loads(SMALL.read_text(encoding="utf-8"))
    told["data"][0]["paragraphs"][0]["qas"][0] |= {"question": "who " * 400, "id": "long"}
    squad = parse_squad(json.dumps(told).encode(), "long.json")
    with pytest.raises(DataError, match=r"^Question long of the data set has 400 tokens"):
        features(squad, Encoder(loaded.tokenizer, loaded.longest), "any", tmp_path)
