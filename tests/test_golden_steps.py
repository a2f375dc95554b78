"""One training step of each phase against the official code, at 256 px."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from convert import reader
from convert.rules import discriminator, e4e, inverter, irse, lpips, stylegan2
from sfe_jax import devices, pipeline
from sfe_jax.architecture import Models
from sfe_jax.directions import families
from sfe_jax.training import optim
from sfe_jax.training.stages import phase1, phase2
from sfe_jax.training.step import EncoderTrainer, Objective
from tests import golden_data as golden

pytest.importorskip("torch")
LIN = golden.SHARED / "assets" / "lpips" / "vgg.pth"
pytestmark = [
    pytest.mark.big,
    pytest.mark.skipif(not LIN.exists(), reason="no LPIPS weights"),
]
LOSS, GRADIENT, UPDATE = 1e-4, 1e-3, 5e-3
_LOSSES = ("discriminator", "identity", "lpips")
STEP = 4000  # blends F_k by 0.4, and penalises D


def networks(*names):
  """{name: (module, variables)} of networks at 256 px."""
  seed = golden.expected("phase1_step_256")["latent_avg_seed"]
  w_avg = 0.3 * golden.normal(seed, 14, 512)
  lin = reader.read(LIN)
  out = {}
  editor = inverter.FEATURE_EDITOR_FAMILY
  sources = (
      ("generator", "stylegan2_g_256", stylegan2.FAMILY, w_avg),
      ("inverter", "inverter_14", inverter.INVERTER_FAMILY, w_avg),
      ("feature_editor", "feature_editor", editor, None),
      ("e4e", "e4e_encoder_256", e4e.E4E_FAMILY, w_avg),
      ("discriminator", "stylegan2_ada_d_256", discriminator.FAMILY, None),
      ("identity", "ir_se50", irse.ARCFACE_FAMILY, None),
      ("lpips", "vgg16_features", lpips.VGG, lin),
  )
  for name, manifest, family, extra in sources:
    if name not in names:
      continue
    state = golden.state(manifest)
    if isinstance(extra, dict):
      state |= extra
    elif extra is not None:
      state["latent_avg"] = extra
    module, converted = family.convert(state)
    out[name] = module, converted.variables
  return out


def run(forward, name, nets, frozen, image):
  """Gradients and one step, through the trainer's own code on one device."""
  trainer = EncoderTrainer(
      forward=forward,
      objective=Objective(
          lpips_net=nets["lpips"][0], identity_net=nets["identity"][0]
      ),
      optimizer=optim.ranger(1e-4),
      discriminator=nets["discriminator"][0],
      disc_optimizer=optim.adam(1e-4),
  )
  variables = dict(nets[name][1])
  params = variables.pop("params")
  state = trainer.init(params, variables, nets["discriminator"][1]["params"])
  state = state.replace(step=jnp.int32(STEP))
  variant = trainer.variant(STEP)
  assert variant == (True, True)

  def step(state, frozen, image, rng):
    """`EncoderTrainer.step`, showing its gradients; the images are no uint8."""
    grads, disc_grads, model_state, metrics = trainer.gradients(
        variant, state, frozen, image, rng
    )
    new = trainer.apply(variant, state, grads, disc_grads, model_state)
    return grads, disc_grads, new, metrics

  out = devices.pmap(step)(
      *map(devices.replicate, (state, frozen, image)),
      devices.replicate(np.asarray(jax.random.key_data(jax.random.key(0)))),
  )
  grads, disc_grads, new, metrics = devices.unreplicate(out)
  return params, grads, disc_grads, new, metrics


def thinned(x):
  """The elements of a tensor that the golden files hold."""
  x = x.ravel()
  return x[:: max(1, x.size // 64)][:64]


def check_network(prefix, want, family, module, params, grads, new):
  """Gradient norms and the first update, in the official layout.

  An update is the difference of two float32 parameters.  Ours and the official
  code's may round the new parameter to neighbouring numbers, so the updates may
  differ by one unit in the last place of the parameter, whatever the size of
  the update itself.
  """
  old, grads, new = (
      family.export(module, {"params": tree}) for tree in (params, grads, new)
  )
  for key, value in want.items():
    kind, _, tensor = key.partition(":")
    if kind == "grad_norm":
      norm = np.linalg.norm(grads[tensor].astype(np.float64))
      golden.check(f"{prefix} {key}", norm, value, GRADIENT)
    elif kind == "update":
      before, after = thinned(old[tensor]), thinned(new[tensor])
      ulp = np.spacing(np.maximum(np.abs(before), np.abs(after)))
      golden.check(f"{prefix} {key}", after - before, value, UPDATE, ulp)


def check_losses(prefix, want, metrics, names):
  for theirs, ours in names.items():
    golden.check(f"{prefix} {theirs}", metrics[ours], want[theirs], LOSS)


def check_discriminator(prefix, want, module, disc_grads):
  grads = discriminator.FAMILY.export(module, {"params": disc_grads})
  keys = ("b256.fromrgb.weight", "b4.out.weight")
  norms = [np.linalg.norm(grads[key].astype(np.float64)) for key in keys]
  golden.check(f"{prefix} d_grad_norms", norms, want["d_grad_norms"], GRADIENT)


def test_phase1():
  want = golden.expected("phase1_step_256")
  nets = networks("generator", "inverter", *_LOSSES)
  models = Models(nets["generator"][0], nets["inverter"][0], None, None)
  frozen = {
      "generator": nets["generator"][1],
      "perceptual": nets["lpips"][1],
      "identity": nets["identity"][1],
  }
  params, grads, disc_grads, new, metrics = run(
      phase1.Forward(models, 1e-4, "difference"),
      "inverter",
      nets,
      frozen,
      golden.image(want["image_seed"], 256, 2),
  )
  check_losses(
      "phase1",
      want,
      metrics,
      {
          "loss_l2": "loss/l2",
          "loss_lpips": "loss/lpips",
          "loss_id": "loss/identity",
          "loss_feat_rec": "loss/regulariser",
          "loss_adv": "loss/adversarial",
          "total": "loss/total",
          "d_main": "loss/d_main",
          "d_r1": "loss/d_r1",
      },
  )
  family = inverter.INVERTER_FAMILY
  module, _ = nets["inverter"]
  check_network("phase1", want, family, module, params, grads, new.params)
  check_discriminator("phase1", want, nets["discriminator"][0], disc_grads)


def test_phase2():
  want = golden.expected("phase2_step_256")
  nets = networks("generator", "inverter", "feature_editor", "e4e", *_LOSSES)
  models = Models(
      *(nets[n][0] for n in ("generator", "inverter", "feature_editor", "e4e"))
  )
  space = families.LatentSpace(14, models.generator.style_widths)
  direction = 0.3 * golden.normal(want["direction_seed"], 14, 512)
  edits = phase2.DirectionSet(
      jax.tree.map(lambda x: x[None], families.user(direction, space)),
      np.ones((1, 1), np.float32),
      np.ones(1, np.int32),
  )
  frozen = {
      "generator": nets["generator"][1],
      "e4e": nets["e4e"][1],
      "inverter": nets["inverter"][1],
      "perceptual": nets["lpips"][1],
      "identity": nets["identity"][1],
      "directions": edits,
  }
  image = golden.image(want["image_seed"], 256, 2)
  params, grads, _, new, metrics = run(
      phase2.Forward(models), "feature_editor", nets, frozen, image
  )
  check_losses(
      "phase2",
      want,
      metrics,
      {
          "loss_l2": "loss/l2",
          "loss_lpips": "loss/lpips",
          "loss_id": "loss/identity",
          "loss_adv": "loss/adversarial",
          "total": "loss/total",
      },
  )
  family = inverter.FEATURE_EDITOR_FAMILY
  module, _ = nets["feature_editor"]
  check_network("phase2", want, family, module, params, grads, new.params)
  first = new.model_state["batch_stats"]["fusion"]["block0"]["bn1"]["mean"]
  golden.check("phase2 running_mean", first, want["running_mean"], LOSS)

  w_e = models.e4e.apply(nets["e4e"][1], image)
  half = [
      pipeline.lower(models, frozen, w).f_k for w in (w_e, w_e + direction)
  ]
  golden.check(
      "phase2 delta_stats",
      golden.stats(half[0] - half[1]),
      want["delta_stats"],
      LOSS,
  )
