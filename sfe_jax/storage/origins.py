"""Where networks come from: published files that convert reads, or training."""

FACES, CARS = 1024, 512  # resolutions of the published generators
_PUBLISHED = {
    "generator": {
        FACES: "stylegan2-ffhq-config-f.pt",
        CARS: "stylegan2-car-config-f-new.pkl",
    },
    "discriminator": {
        FACES: "stylegan2-ffhq-config-f.pkl",
        CARS: "stylegan2-car-config-f-new.pkl",
    },
    "e4e": {FACES: "e4e_ffhq_encode.pt", CARS: "e4e_cars_encode.pt"},
    "inverter": {FACES: "sfe_editor_light.pt"},
    "feature_editor": {FACES: "sfe_editor_light.pt"},
}
_PUBLISHED_FOR_ANY_SIZE = {
    "arcface": "model_ir_se50.pth",
    "curricularface": "CurricularFace_Backbone.pth",
    "inception": "pt_inception-2015-12-05-6726825d.pth",
    "iresnet50": "iresnet50-7f187506.pth",
    "lpips_alex": "alexnet-owt-7be5be79.pth (torchvision) and alex.pth (LPIPS)",
    "lpips_vgg": "vgg16-397923af.pth (torchvision) and vgg.pth (LPIPS)",
    "moco": "moco_v2_800ep_pretrain.pt",
}
_TRAINED_BY = {
    "generator": "toy_generator.py",
    "discriminator": "toy_generator.py",
    "perception": "toy_perception.py",
    "e4e": "toy_e4e.py",
    "inverter": "toy_phase1.py",
    "feature_editor": "toy_phase2.py",
}
_TRAINED_FOR_CARS = {
    "inverter": "cars_phase1.py",
    "feature_editor": "cars_phase2.py",
}


def way_to(name: str, resolution: int | None = None) -> str:
  """Says how a user gets a network, for messages.

  Args:
    name: name of the network.
    resolution: resolution of the generator, which tells the published networks
      of faces (1024) and cars (512) apart; other generators have none.  None
      if it is not known.

  Returns:
    A clause such as "python -m sfe_jax.convert makes it from
    model_ir_se50.pth".
  """
  files = _PUBLISHED.get(name, {})
  if name in _PUBLISHED_FOR_ANY_SIZE:
    official = _PUBLISHED_FOR_ANY_SIZE[name]
  elif resolution is None and len(files) > 1:
    official = f"{files[FACES]} (faces) or {files[CARS]} (cars)"
  else:
    official = files.get(FACES if resolution is None else resolution, "")
  if official:
    return f"python -m sfe_jax.convert makes it from {official}"
  config = _TRAINED_BY[name]
  if resolution == CARS:
    config = _TRAINED_FOR_CARS.get(name, config)
  return (
      f"train it with --config={config} and copy WORKDIR/weights/{name} into"
      " the folder"
  )
