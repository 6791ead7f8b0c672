"""torchvision from the index does not know a CPU build of torch; its operators are declared, and never called."""

import torch

LIBRARY = torch.library.Library("torchvision", "DEF")
LIBRARY.define("nms(Tensor a, Tensor b, float c) -> Tensor")
LIBRARY.define("qnms(Tensor a, Tensor b, float c) -> Tensor")
LIBRARY.define("roi_align(Tensor a, Tensor b, float c, int d, int e, int f, bool g) -> Tensor")
