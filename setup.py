"""Packaging of sfe_jax."""

import pathlib

import setuptools

README = pathlib.Path(__file__).parent / "README.md"

setuptools.setup(
    name="sfe_jax",
    version="0.1.0",
    description=(
        "StyleFeatureEditor in JAX: detail-rich StyleGAN2 inversion and editing"
    ),
    long_description=README.read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.14",
    packages=setuptools.find_packages(
        include=["sfe_jax*", "convert*", "configs*"]
    ),
    package_data={"sfe_jax": ["own_domain/*.html", "pretrained/**"]},
    install_requires=[
        "absl-py>=2.1,<3",
        "flax>=0.12,<0.13",
        "jax>=0.10,<0.12",
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
            "mypy>=2,<3",
            "portpicker>=1.6,<2",
            "pytest>=8,<10",
            "pytest-xdist>=3.6",
            "ruff>=0.15,<0.18",
            "torch>=2.6,<3",
            "types-tqdm>=4.66,<5",
        ],
    },
)
