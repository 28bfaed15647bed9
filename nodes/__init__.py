"""The pack's nodes, one file each; :class:`DragonExtension` lists them for ComfyUI."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io
from typing_extensions import override

from .appearance_loss import DragonAppearanceLoss
from .auto_mask import DragonAutoMask
from .canvas import DragonCanvas
from .canvas_object import DragonCanvasObject
from .composite import DragonComposite
from .content_loss import DragonContentLoss
from .contrast_loss import DragonContrastLoss
from .cross_attn_patch import DragonCrossAttnPatch
from .draft import DragonDraft
from .drag_loss import DragonDragLoss
from .euler_sampler import DragonEulerSampler
from .guidance_branch import DragonGuidanceBranch
from .guider import DragonGuider
from .inpaint_loss import DragonInpaintLoss
from .invert import DragonInvert
from .landmarks_loss import DragonLandmarksLoss
from .mini_model import DragonMiniModel
from .move_loss import DragonMoveLoss
from .paste_loss import DragonPasteLoss
from .preview import DragonPreview
from .record import DragonRecord
from .resize_loss import DragonResizeLoss
from .sampler import DragonSampler
from .similarity_loss import DragonSimilarityLoss


class DragonExtension(ComfyExtension):
    """What ComfyUI's loader asks for the nodes."""

    @override
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            DragonMiniModel,
            DragonInvert,
            DragonRecord,
            DragonAutoMask,
            DragonGuidanceBranch,
            DragonMoveLoss,
            DragonDragLoss,
            DragonLandmarksLoss,
            DragonResizeLoss,
            DragonSimilarityLoss,
            DragonContentLoss,
            DragonContrastLoss,
            DragonInpaintLoss,
            DragonPasteLoss,
            DragonAppearanceLoss,
            DragonCrossAttnPatch,
            DragonDraft,
            DragonSampler,
            DragonComposite,
            DragonGuider,
            DragonEulerSampler,
            DragonCanvas,
            DragonCanvasObject,
            DragonPreview,
        ]
