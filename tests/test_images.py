"""Folders of pictures, sheets of pictures."""

import numpy as np
import pytest

from sfe_jax.errors import UserError
from sfe_jax.storage import images
from tests import tiny


def test_pictures_further_below_are_named(tmp_path):
  (tmp_path / "000").mkdir()
  with pytest.raises(UserError, match=r"no image \(.*\) in it$"):
    images.find(tmp_path)
  images.write(tmp_path / "000/x.png", tiny.pictures(1, 8)[0])
  with pytest.raises(UserError, match=f"some lie below, in {tmp_path}/000$"):
    images.find(tmp_path)


def test_a_long_title_keeps_its_strength():
  def header(title):
    return images.grid([tiny.pictures(1, 96)], [title], 96)[:18]

  name = "hair_style_side_part"
  np.testing.assert_array_equal(
      header(f"{name} -2.5"), header("hair_styl.. -2.5")
  )
  assert (header(f"{name} 2") != header(f"{name} 3")).any()
  np.testing.assert_array_equal(header(name), header("hair_style_side_"))
