"""Pictures that tell their number, in files and in memory."""

import collections
import csv
import os
import threading

import numpy as np
from PIL import Image

from sfe_jax import data
from sfe_jax.errors import UserError

SIZE = 16


def drawn(number, size=SIZE, width=None):
  """A picture that tells its number and which side is left."""
  image = np.zeros((size, width or size, 3), np.uint8)
  image[:, : image.shape[1] // 2, 0] = 200
  image[:, :, 1] = number % 256
  return image


def number(image):
  return int(image[0, 0, 1])


def numbers(source):
  return [number(source[i]) for i in range(len(source))]


def mirrored(image):
  return image[0, 0, 0] == 0


def save(path, array, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(array).save(path, **options)
  return path


def drawn_folder(root, count, size=SIZE):
  for i in range(count):
    save(root / f"{i // 10:02d}" / f"{i:03d}.png", drawn(i, size))
  return root


class Drawn:
  """A source in memory that counts its reads; some pictures are unreadable."""

  resolution = SIZE

  def __init__(self, count, broken=()):
    self.count = count
    self.broken = broken
    self.reads = collections.Counter()
    self._lock = threading.Lock()

  def __len__(self):
    return self.count

  def __getitem__(self, index):
    with self._lock:
      self.reads[index] += 1
    if index in self.broken:
      raise UserError(f"picture {index} is broken")
    return drawn(index)


def load(source, batches, *, batch_size=4, seed=1, processes=1, **options):
  """The first batches of every process, (processes, batches, n, ...)."""
  out = []
  for process in range(processes):
    iterator = data.loader(
        source,
        batch_size=batch_size,
        seed=seed,
        process=process,
        processes=processes,
        **{"threads": 0, **options},
    )
    out.append(np.stack([next(iterator).image for _ in range(batches)]))
    iterator.close()
  return np.stack(out)


def validate(source, batch_size, processes=1):
  """[(numbers, mask), ...] of every process."""
  return [
      [
          ([number(x) for x in batch.image], list(mask))
          for batch, mask in data.validation_batches(
              source,
              batch_size=batch_size,
              threads=2,
              process=process,
              processes=processes,
          )
      ]
      for process in range(processes)
  ]


def odd_pictures(root, count):
  """A folder of many kinds of files; some cannot be read."""
  drawn_folder(root, count)
  save(root / "grey.png", drawn(1, 40)[..., 1])
  save(root / "wide.jpg", drawn(2, 20, 60))
  save(root / "wide.webp", drawn(3))
  alpha = np.dstack([drawn(4, 24), np.zeros((24, 24), np.uint8)])
  save(root / "deep" / "er" / "alpha.png", alpha)
  exif = Image.Exif()
  exif[0x0112] = 3  # upside down
  save(root / "turned.png", drawn(5), exif=exif)
  (root / "text.png").write_text("no picture")
  whole = save(root / "half.png", drawn(6, 200)).read_bytes()
  (root / "half.png").write_bytes(whole[: len(whole) // 2])
  return root


def labels_file(path, found, **extra):
  """Labels of files: a column that numbers them."""
  names = [os.path.relpath(f, path.parent) for f in found]
  with open(path, "w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["file", "number"])
    writer.writerows([name, i] for i, name in enumerate(names))
    writer.writerows(extra.items())
  return path
