"""Data sets on the hub: which files belong to which split, by their names or as the card says.

What is right is what load_dataset gives for the folder.
"""
import json
import tempfile

import datasets

from .case import Case


def repository(name, files, split="train", config=None, card=None):
    """A data set on the hub; each file holds its own path."""

    def write(folder):
        for path in files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            row = {"text": path}
            content = f"text\n{path}\n" if path.endswith(".csv") else path + "\n" if path.endswith(".txt") else json.dumps(row) + "\n"
            (folder / path).write_text(content)
        if card is not None:
            (folder / "README.md").write_text(card)

    def expect(folder):
        with tempfile.TemporaryDirectory() as cache:
            found = datasets.load_dataset(str(folder), config, split=split, cache_dir=cache)
            return {"rows": list(found["text"])}

    return Case(f"hub: {name}", write, expect, {"kind": "data", "columns": {"kind": "text", "text": "text"}, "selection": {"split": split} | ({"config": config} if config else {})})


def cases():
    layouts = {
        "shards": ["data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl", "data/test-00000-of-00001.jsonl", "data/extra_one-00000-of-00001.jsonl"],
        "folders": ["train/b.jsonl", "train/a.jsonl", "test/c.jsonl", "dev/d.jsonl"],
        "folders within": ["x/train/a.jsonl", "x/validation/b.jsonl", "y/train/c.jsonl"],
        "folders with more in their names": ["my-train-set/a.jsonl", "test_2/b.jsonl", "trainer/c.jsonl"],
        "file names": ["train.jsonl", "valid.jsonl", "test.jsonl"],
        "file names with more in them": ["a_train_1.jsonl", "train-b.jsonl", "my.test.jsonl", "latest.jsonl"],
        "no names": ["b.jsonl", "a.jsonl", "c/d.jsonl"],
        "hidden files and folders": ["a.jsonl", ".hidden/b.jsonl", ".c.jsonl", "__pycache__/d.jsonl"],
        "several kinds": ["a.csv", "b.jsonl", "c.jsonl", "d.txt"],
        "a draw of kinds": ["a.csv", "b.jsonl", "c.txt"],
        "eval and evaluation": ["train.jsonl", "eval.jsonl"],
        "training and testing": ["training.jsonl", "testing.jsonl", "val.jsonl"],
        "numbers after names": ["train1.jsonl", "train 2.jsonl", "test3.jsonl"],
        "upper case": ["Train.jsonl", "TEST.jsonl"],
    }
    for name, files in layouts.items():
        for split in ("train", "validation", "test"):
            yield repository(f"{name}, {split}", files, split)
    files = ["a/one.jsonl", "a/two.jsonl", "b/three.jsonl", "b/test.jsonl"]
    cards = {
        "data_files, one pattern": "configs:\n- config_name: default\n  data_files: a/*.jsonl\n",
        "data_files, a list": "configs:\n- config_name: default\n  data_files:\n  - b/three.jsonl\n  - a/*.jsonl\n",
        "data_files, by split": "configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: a/*\n  - split: test\n    path:\n    - b/test.jsonl\n    - b/three.jsonl\n",
        "data_dir": "configs:\n- config_name: default\n  data_dir: b\n",
        "one config of another name": "configs:\n- config_name: only\n  data_files: a/two.jsonl\n",
        "several, a default": "configs:\n- config_name: x\n  data_files: a/*\n- config_name: y\n  data_files: b/*\n  default: true\n",
        "a pattern with two stars": "configs:\n- config_name: default\n  data_files: '**/t*.jsonl'\n",
        "closing dashes with blanks": "configs:\n- config_name: default\n  data_files: b/three.jsonl\n",
        "no configs": "license: mit\n",
    }
    for name, head in cards.items():
        end = "---   \n" if "blanks" in name else "---\n"
        for split in ("train", "test"):
            yield repository(f"card, {name}, {split}", files, split, card=f"---\n{head}{end}# words\n")
    two = "---\nconfigs:\n- config_name: x\n  data_files: a/*\n- config_name: y\n  data_files: b/*\n---\n"
    yield repository("card, several, none chosen", files, card=two)
    yield repository("card, several, one chosen", files, config="y", card=two)
    yield repository("card, a config that is not there", files, config="z", card=two)
    for parameter in ("sep: ';'", "skiprows: 1", "encoding: latin-1", "encoding: utf-8", "header: null", "names: [text]", "quotechar: \"'\""):
        card = f"---\nconfigs:\n- config_name: default\n  data_files: c.csv\n  {parameter}\n---\n"
        yield repository(f"card, {parameter}", ["c.csv"], card=card)
    yield repository("card, sample_by: document", ["d.txt"], card="---\nconfigs:\n- config_name: default\n  data_files: d.txt\n  sample_by: document\n---\n")
