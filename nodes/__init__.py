"""The pack's nodes, one file each; :class:`DragonExtension` lists them for ComfyUI."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io
from typing_extensions import override

from .canvas.auto_mask import DragonAutoMask
from .canvas.canvas import DragonCanvas
from .canvas.canvas_object import DragonCanvasObject
from .losses.appearance_loss import DragonAppearanceLoss
from .losses.content_loss import DragonContentLoss
from .losses.contrast_loss import DragonContrastLoss
from .losses.drag_loss import DragonDragLoss
from .losses.inpaint_loss import DragonInpaintLoss
from .losses.landmarks_loss import DragonLandmarksLoss
from .losses.move_loss import DragonMoveLoss
from .losses.paste_loss import DragonPasteLoss
from .losses.resize_loss import DragonResizeLoss
from .losses.similarity_loss import DragonSimilarityLoss
from .pictures.composite import DragonComposite
from .pictures.crop import DragonCrop
from .pictures.draft import DragonDraft
from .pictures.preview import DragonPreview
from .pictures.uncrop import DragonUncrop
from .sampling.cross_attn_patch import DragonCrossAttnPatch
from .sampling.euler_sampler import DragonEulerSampler
from .sampling.guidance_branch import DragonGuidanceBranch
from .sampling.guider import DragonGuider
from .sampling.invert import DragonInvert
from .sampling.mini_model import DragonMiniModel
from .sampling.record import DragonRecord
from .sampling.sampler import DragonSampler


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
            DragonCrop,
            DragonDraft,
            DragonSampler,
            DragonComposite,
            DragonUncrop,
            DragonGuider,
            DragonEulerSampler,
            DragonCanvas,
            DragonCanvasObject,
            DragonPreview,
        ]
