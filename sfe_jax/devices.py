"""Maps functions over devices and processes, and caches compiled code.

Nothing else knows how functions are mapped.  A step is written for one device
and knows only the axis name `AXIS`.  Here it is mapped over all devices (pmap),
its state is replicated and its batches are split.  With several processes
(`initialize`) every process holds the share of each batch that belongs to its
own devices.
"""

import os
import pathlib
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


def enable_compilation_cache() -> None:
  """Makes JAX keep compiled code in ~/.cache/sfe_jax between runs.

  JAX_COMPILATION_CACHE_DIR, or a folder that is configured already, takes
  precedence; an empty JAX_COMPILATION_CACHE_DIR turns the cache off.
  """
  key = "jax_compilation_cache_dir"
  if "JAX_COMPILATION_CACHE_DIR" in os.environ or jax.config.values[key]:
    return
  root = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
  jax.config.update(key, str(pathlib.Path(root) / "sfe_jax" / "xla"))


def initialize(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
) -> None:
  """Joins the processes of a run.  Call it before anything else of JAX.

  On a TPU pod and under SLURM JAX reads from the environment what is not given.
  There `coordinator` alone replaces the address, e.g. where a firewall blocks
  the default port.

  Args:
    coordinator: "host:port" of process 0.
    processes: number of processes.
    process: index of this process.

  Raises:
    UserError: the environment names no processes, or they did not find each
      other.
  """
  try:
    jax.distributed.initialize(
        coordinator,
        processes,
        process,
        initialization_timeout=_START_TIMEOUT,
    )
  except (RuntimeError, ValueError) as error:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if processes is None and coordinator is None:
      raise UserError(
          f"--distributed found no TPU pod and no SLURM job ({reason}); give"
          " --coordinator, --processes and --process instead"
      ) from error
    raise UserError(
        f"the processes of this run did not find each other: {reason}; is the"
        " coordinator's port open, and does every process run?"
    ) from error


def _sharding(*axes: str) -> NamedSharding:
  mesh = Mesh(np.array(jax.local_devices()), (AXIS,))
  return NamedSharding(mesh, PartitionSpec(*axes))


def replicate(tree: Any) -> Any:
  """Copies a tree to every local device: (...) -> (devices, ...)."""
  n, sharding = jax.local_device_count(), _sharding(AXIS)

  def one(x):
    x = np.asarray(x)
    return jax.device_put(np.broadcast_to(x, (n, *x.shape)), sharding)

  return jax.tree.map(one, tree)


def unreplicate(tree: Any) -> Any:
  """Returns the first device's copy of a replicated tree, on the host."""
  return jax.tree.map(
      lambda x: np.asarray(x.addressable_shards[0].data)[0], tree
  )


def example_keys(rng: jax.Array, n: int) -> jax.Array:
  """Random keys (n,) for the n examples of this device.

  The key of an example depends on its place in the whole batch alone, not on
  how the batch is split over devices.  Call it inside a mapped function.
  """
  index = lax.axis_index(AXIS) * n + jnp.arange(n)
  return jax.vmap(lambda i: jax.random.fold_in(rng, i))(index)


def split(tree: Any) -> Any:
  """Splits arrays over the local devices: (n, ...) -> (devices, m, ...).

  Raises:
    UserError: n is not a multiple of the number of local devices.
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
  """Joins what `split` has split, on the host."""
  return jax.tree.map(
      lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), tree
  )


def pmap(
    function: Callable[..., Any], donate_state: bool = False
) -> Callable[..., Any]:
  """Maps a function over the local devices of every process.

  Args:
    function: for one device, with the axis `AXIS`.
    donate_state: reuse the memory of the first argument for the result.

  Returns:
    The mapped function; all its arguments and results have a leading device
    axis.
  """
  donated = (0,) if donate_state else ()
  return jax.pmap(function, axis_name=AXIS, donate_argnums=donated)
