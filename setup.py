"""Packaging of sfe_jax.

The wheel installs one top-level name, `sfe_jax`.  The folders convert/ and
configs/ of the repository are part of it as `sfe_jax.convert` and
`sfe_jax.configs`, which are symbolic links in the repository.
"""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
INIT = (ROOT / "sfe_jax" / "__init__.py").read_text(encoding="utf-8")

setuptools.setup(
    name="sfe_jax",
    version=re.search(r'^__version__ = "(.+)"$', INIT, re.MULTILINE)[1],
    description=(
        "StyleFeatureEditor in JAX: detail-rich StyleGAN2 inversion and editing"
    ),
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    keywords=["JAX", "Flax", "StyleGAN2", "GAN inversion", "image editing"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Image Processing",
        "Typing :: Typed",
    ],
    python_requires=">=3.11,<3.14",
    packages=setuptools.find_packages(include=["sfe_jax", "sfe_jax.*"]),
    package_data={
        "sfe_jax": ["py.typed", "own_domain/*.html", "pretrained/**"]
    },
    entry_points={"console_scripts": ["sfe-jax = sfe_jax.__main__:main"]},
    install_requires=[
        "absl-py>=2.1,<3",
        "flax>=0.12,<0.13",
        "jax>=0.10.0,<0.12",
        "numpy>=2.0,<3",
        "orbax-checkpoint>=0.11.30,<0.13",
        "pillow>=11,<14",
        "tqdm>=4.66,<5",
    ],
    extras_require={
        # Reading and writing PyTorch files.  On Linux install the CPU build;
        # plain torch brings gigabytes of CUDA (see launch/environment.sh).
        "convert": ["torch>=2.6,<3"],
        # Training: TensorFlow only writes TensorBoard files.
        "train": [
            "clu>=0.0.12,<0.1",
            "grain>=0.2.15,<0.3",
            "importlib_resources>=6,<8",  # undeclared need of TFDS on 3.11
            "jinja2>=3.1,<4",
            "matplotlib>=3.9,<4",
            "ml-collections>=1.0,<2",
            "optax>=0.2.8,<0.3",
            "tensorboard>=2.19,<3",
            "tensorflow-cpu>=2.19,<3; platform_machine == 'x86_64'",
            "tensorflow-datasets>=4.9.8,<5",
        ],
        "dev": [
            "ipykernel>=6,<8",
            "mypy>=2,<3",
            "nbclient>=0.10,<0.12",
            "portpicker>=1.6,<2",
            "pytest>=8,<10",
            "pytest-xdist>=3.6",
            "ruff>=0.15,<0.18",
            "torch>=2.6,<3",
            "types-tqdm>=4.66,<5",
        ],
    },
)
