"""Labels: what columns mean, what is refused, and their way into batches."""

import json

import numpy as np
import pytest

from sfe_jax import data
from sfe_jax.data.source import Labelled
from sfe_jax.data.sources import Folder
from sfe_jax.errors import UserError
from sfe_jax.storage import labels
from sfe_jax.storage.labels import label_names
from tests.drawn_data import SIZE, Drawn, drawn_folder, number


def write(folder, text, name="labels.csv"):
  (folder / name).write_text(text, encoding="utf-8-sig")
  return folder / name


FIRST = """file,smile,glasses,hair
a/1.png,0.5,0,short
a/2.png,2.5,1,"long, grey"
b.png,1.5,1,short
"""


def test_columns_and_numbers(tmp_path):
  table = labels.read(write(tmp_path, FIRST))
  std = (2 / 3) ** 0.5
  assert table.schema == (
      labels.Column("smile", "continuous", mean=1.5, std=std),
      labels.Column("glasses", "binary"),
      labels.Column("hair", "categorical", ("long, grey", "short")),
  )
  names = ["smile", "glasses", "hair=long, grey", "hair=short"]
  assert labels.outputs(table.schema) == names
  got = table.of([str(tmp_path / "b.png"), str(tmp_path / "a/../a/2.png")])
  np.testing.assert_allclose(got, [[0, 1, 0, 1], [1 / std, 1, 1, 0]], atol=1e-7)
  assert got.dtype == np.float32
  places = {c.name: names[s] for c, s in labels.spans(table.schema)}
  assert places["glasses"] == ["glasses"] and places["hair"] == names[2:]
  kept = json.loads(json.dumps(labels.to_json(table.schema)))
  assert labels.from_json(kept) == table.schema


def test_what_teaches_nothing_is_left_out(tmp_path, caplog):
  rows = "".join(f"{i}.png,1,same,name {i},{i % 2}\n" for i in range(70))
  table = labels.read(write(tmp_path, f"file,one,text,who,odd\n{rows}"))
  assert labels.outputs(table.schema) == ["odd"]
  assert sum("left out" in m for m in caplog.messages) == 3


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "holds no labels"),
        ("file,a\n", "holds no labels"),
        ("picture,a\n1.png,2\n", "has no column 'file', only picture, a"),
        ("file,a\n1.png,2\n\n2.png\n", "line 4 has 1 values for 2 columns"),
        ("file,a\n1.png,2\n2.png,x\n", "line 3, column a: 'x' is not a finite"),
        ("file,a\n1.png,2\n2.png,nan\n", "line 3, column a: 'nan' is not a"),
        ("file,a\n1.png,x\n2.png,\n", "line 3, column a is empty"),
        ("file,a\n1.png,2\nb/../1.png,3\n", "line 3: .*1.png already has"),
        ("file,a\n1.png,2\n2.png,2\n", "has no column to learn from"),
        ("file\n1.png\n", "has no column to learn from"),
    ],
)
def test_bad_files_are_refused(tmp_path, text, message):
  with pytest.raises(UserError, match=message):
    labels.read(write(tmp_path, text))


def test_names_of_edits():
  hair = labels.Column("hair style", "categorical", ("Très long!", "bob"))
  schema = (labels.Column("age", "continuous"), hair)
  names = ["age", "hair_style_Très_long", "hair_style_bob"]
  assert label_names(schema) == names


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["hair=long", "Hair long"], "'hair=long' and 'Hair long' would both"),
        (["age", "PCA_1"], "'PCA_1' gives no name .*pca1, sefa1"),
        (["age", "###"], "'###' gives no name to an edit: use letters"),
    ],
)
def test_names_that_edits_cannot_have(names, message):
  schema = [labels.Column(name, "continuous") for name in names]
  with pytest.raises(UserError, match=message):
    label_names(schema)


def test_missing_files(tmp_path):
  with pytest.raises(UserError, match="no such file of labels; .*data.labels"):
    labels.read(tmp_path / "none.csv")
  table = labels.read(write(tmp_path, FIRST))
  files = [str(tmp_path / name) for name in ("b.png", "c.png", "d.png")]
  with pytest.raises(UserError, match="no row for 2 of 3 pictures, .*/c.png"):
    table.of(files)


def numbered(folder, count=10):
  """A folder of pictures whose label is the number drawn on them."""
  drawn_folder(folder, count)
  rows = "".join(f"{i // 10:02d}/{i:03d}.png,{i}\n" for i in range(count + 2))
  write(folder, f"file,number\n{rows}")
  return Folder(folder, SIZE)


def load(source, count, batch_size=4, processes=1, start=0):
  """[Batch] of every process."""
  parts = []
  for process in range(processes):
    iterator = data.loader(
        source,
        batch_size=batch_size,
        seed=0,
        flip=False,
        threads=2,
        process=process,
        processes=processes,
    )
    iterator.set_state({"next_index": start * batch_size // processes})
    parts.append([next(iterator) for _ in range(count)])
  return parts


def test_labels_follow_their_pictures(tmp_path, caplog):
  sets = data.hold_out(numbered(tmp_path), 3)
  train, held_out = data.label(sets, tmp_path / "labels.csv")
  assert "2 rows name pictures that are not in the data set" in caplog.text
  (column,) = labels.read(tmp_path / "labels.csv").schema

  def check(image, label):
    assert label.shape == (len(image), 1) and label.dtype == np.float32
    got = label[:, 0] * column.std + column.mean
    np.testing.assert_allclose(got, [number(x) for x in image], atol=1e-5)

  (batches,) = load(train, 6)
  for batch in batches:
    check(batch.image, batch.label)
  # Other processes, and a later start, give the same.
  two = load(train, 4, processes=2, start=2)
  for batch, parts in zip(batches[2:], zip(*two)):
    for name in ("image", "label"):
      both = np.concatenate([getattr(part, name) for part in parts])
      np.testing.assert_array_equal(getattr(batch, name), both)
  found = []
  for batch, mask in data.validation_batches(
      held_out, batch_size=2, threads=0, process=0, processes=1
  ):
    check(batch.image[mask], batch.label[mask])
    found += [number(x) for x in batch.image[mask]]
  assert len(set(found)) == 3
  assert load(sets[0], 1)[0][0].label is None


def test_an_unreadable_picture_is_replaced_with_its_label():
  values = np.arange(6, dtype=np.float32)[:, None]
  source = Labelled(Drawn(6, broken=(1, 2)), values)
  for batch in load(source, 6)[0]:
    np.testing.assert_array_equal(
        batch.label[:, 0], [number(x) for x in batch.image]
    )


def test_sources_that_cannot_be_labelled(tmp_path):
  folder = numbered(tmp_path)
  sets = data.hold_out(Drawn(10), 3)
  with pytest.raises(UserError, match="need data.source folder"):
    data.label(sets, tmp_path / "labels.csv")
  train, _ = data.label(data.hold_out(folder, 3), tmp_path / "labels.csv")
  with pytest.raises(UserError, match="set data.flip False, or data.labels"):
    data.loader(train, batch_size=2, seed=0, process=0, processes=1)


def test_effects_of_another_form_are_refused(tmp_path):
  path = tmp_path / "labels.csv"
  assert labels.read_effects(path) == {}
  file = tmp_path / labels.EFFECTS
  for text in ('{"skin": ["darker"]}', '{"skin": "darker"}', '["darker"]'):
    file.write_text(text)
    with pytest.raises(UserError, match="effects.json: .* must be two texts"):
      labels.read_effects(path)
