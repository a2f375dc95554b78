"""The only file that knows how a step is mapped over devices.

A step is written for one device and knows the name `AXIS` alone; here it is
pmapped, its state replicated and its batches split.  With several processes
(`initialize`) every process holds its own devices' share of each batch.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sfe_jax.errors import UserError

AXIS = "batch"
_START_TIMEOUT = 300


def initialize(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> None:
  """Joins the processes of a run; without arguments from the environment.

  Call it before anything else of JAX.  TPU pods and SLURM need no arguments.

  Args:
    coordinator: "host:port" of process 0.
    processes: how many there are.
    process: which one this is.

  Raises:
    UserError: only some arguments are given, or the others do not answer.
  """
  given = [x is not None for x in (coordinator, processes, process)]
  if any(given) and not all(given):
    raise UserError(
        "give --coordinator, --processes and --process together, or none of"
        " them on a TPU pod or under SLURM"
    )
  try:
    jax.distributed.initialize(
        coordinator,
        processes,
        process,
        initialization_timeout=_START_TIMEOUT,
    )
  except (RuntimeError, ValueError) as error:
    reason = str(error).strip().splitlines()[0]
    if not any(given):
      raise UserError(
          f"--distributed found no TPU pod and no SLURM job ({reason}); give"
          " --coordinator, --processes and --process instead"
      ) from error
    raise UserError(
        f"the processes of this run did not find each other: {reason}; is the"
        " coordinator's port open and does every process run?"
    ) from error


def _sharding(*axes: str) -> NamedSharding:
  mesh = Mesh(np.array(jax.local_devices()), (AXIS,))
  return NamedSharding(mesh, PartitionSpec(*axes))


def replicate(tree: Any) -> Any:
  """Copies a tree to every local device, behind a leading device axis."""
  n, sharding = jax.local_device_count(), _sharding(AXIS)

  def one(x):
    x = np.asarray(x)
    return jax.device_put(np.broadcast_to(x, (n, *x.shape)), sharding)

  return jax.tree.map(one, tree)


def unreplicate(tree: Any) -> Any:
  """The first device's copy, on the host."""
  return jax.tree.map(
      lambda x: np.asarray(x.addressable_shards[0].data)[0], tree
  )


def example_keys(rng: jax.Array, n: int) -> jax.Array:
  """A key for each of this device's n examples: the same on any devices."""
  index = lax.axis_index(AXIS) * n + jnp.arange(n)
  return jax.vmap(lambda i: jax.random.fold_in(rng, i))(index)


def split(tree: Any) -> Any:
  """(n, ...) arrays -> (devices, n / devices, ...), each on its device.

  Raises:
    UserError: n is no multiple of the number of local devices.
  """
  devices, sharding = jax.local_device_count(), _sharding(AXIS)

  def one(x):
    n = x.shape[0]
    if n % devices:
      raise UserError(
          f"a batch of {n} per process cannot be split over {devices} devices;"
          " choose data.batch_size as a multiple of all devices"
      )
    return jax.device_put(x.reshape(devices, n // devices, *x.shape[1:]),
                          sharding)

  return jax.tree.map(one, tree)


def join(tree: Any) -> Any:
  """The inverse of `split`, on the host."""
  return jax.tree.map(
      lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), tree
  )


def pmap(function: Callable[..., Any], donate_state: bool = False):
  """Maps (state, frozen, ...) over the local devices of every process.

  Args:
    function: all arguments and results carry a leading device axis outside.
    donate_state: the first argument's memory is reused for the result.
  """
  donated = (0,) if donate_state else ()
  return jax.pmap(function, axis_name=AXIS, donate_argnums=donated)
