"""Pure functions on arrays: training losses, MS-SSIM, Frechet distance."""
