"""Stand-in of `comfy_api.latest.io`: schemas, types and the base class of nodes, as far as this pack uses them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    import torch

    from . import ui as _ui
    from ._video import VideoInput

    UIOutput: TypeAlias = dict[str, Any] | _ui.PreviewVideo | _ui.PreviewText | None


class FolderType(str, Enum):
    input = "input"
    output = "output"
    temp = "temp"


class UploadType(str, Enum):
    image = "image_upload"
    audio = "audio_upload"
    video = "video_upload"


class NumberDisplay(str, Enum):
    number = "number"
    slider = "slider"


class ControlAfterGenerate(str, Enum):
    fixed = "fixed"
    increment = "increment"
    decrement = "decrement"
    randomize = "randomize"


class Hidden(str, Enum):
    unique_id = "UNIQUE_ID"
    prompt = "PROMPT"
    extra_pnginfo = "EXTRA_PNGINFO"
    dynprompt = "DYNPROMPT"


@dataclass(frozen=True)
class HiddenHolder:
    """What a node may know of its surroundings; None or empty where ComfyUI does not tell."""

    unique_id: str | None = None
    prompt: dict[str, Any] | None = None
    extra_pnginfo: dict[str, Any] | None = None
    dynprompt: Any = None


@dataclass
class _Input:
    io_type: ClassVar[str] = "*"

    id: str
    display_name: str | None = None
    optional: bool = False
    tooltip: str | None = None
    lazy: bool | None = None


@dataclass
class _SocketInput(_Input):
    extra_dict: dict[str, Any] | None = None
    raw_link: bool | None = None
    advanced: bool | None = None


@dataclass
class _Output:
    io_type: ClassVar[str] = "*"

    id: str | None = None
    display_name: str | None = None
    tooltip: str | None = None
    is_output_list: bool = False


class AnyType:
    Type: TypeAlias = Any

    @dataclass
    class Input(_SocketInput):
        io_type: ClassVar[str] = "*"

    @dataclass
    class Output(_Output):
        io_type: ClassVar[str] = "*"


class Image:
    if TYPE_CHECKING:
        Type: TypeAlias = torch.Tensor

    @dataclass
    class Input(_SocketInput):
        io_type: ClassVar[str] = "IMAGE"

    @dataclass
    class Output(_Output):
        io_type: ClassVar[str] = "IMAGE"


class Video:
    if TYPE_CHECKING:
        Type: TypeAlias = VideoInput

    @dataclass
    class Input(_SocketInput):
        io_type: ClassVar[str] = "VIDEO"

    @dataclass
    class Output(_Output):
        io_type: ClassVar[str] = "VIDEO"


class Audio:
    Type: TypeAlias = dict[str, Any]

    @dataclass
    class Input(_SocketInput):
        io_type: ClassVar[str] = "AUDIO"

    @dataclass
    class Output(_Output):
        io_type: ClassVar[str] = "AUDIO"


class String:
    Type: TypeAlias = str

    @dataclass
    class Input(_Input):
        io_type: ClassVar[str] = "STRING"

        multiline: bool = False
        placeholder: str | None = None
        default: str | None = None
        dynamic_prompts: bool | None = None
        socketless: bool | None = None
        force_input: bool | None = None
        extra_dict: dict[str, Any] | None = None
        raw_link: bool | None = None
        advanced: bool | None = None

    @dataclass
    class Output(_Output):
        io_type: ClassVar[str] = "STRING"


class Int:
    Type: TypeAlias = int

    @dataclass
    class Input(_Input):
        io_type: ClassVar[str] = "INT"

        default: int | None = None
        min: int | None = None
        max: int | None = None
        step: int | None = None
        control_after_generate: bool | ControlAfterGenerate | None = None
        display_mode: NumberDisplay | None = None
        socketless: bool | None = None
        force_input: bool | None = None
        extra_dict: dict[str, Any] | None = None
        raw_link: bool | None = None
        advanced: bool | None = None

    @dataclass
    class Output(_Output):
        io_type: ClassVar[str] = "INT"


class Float:
    Type: TypeAlias = float

    @dataclass
    class Input(_Input):
        io_type: ClassVar[str] = "FLOAT"

        default: float | None = None
        min: float | None = None
        max: float | None = None
        step: float | None = None
        round: float | None = None
        display_mode: NumberDisplay | None = None
        socketless: bool | None = None
        force_input: bool | None = None
        extra_dict: dict[str, Any] | None = None
        raw_link: bool | None = None
        advanced: bool | None = None

    @dataclass
    class Output(_Output):
        io_type: ClassVar[str] = "FLOAT"


class Boolean:
    Type: TypeAlias = bool

    @dataclass
    class Input(_Input):
        io_type: ClassVar[str] = "BOOLEAN"

        default: bool | None = None
        label_on: str | None = None
        label_off: str | None = None
        socketless: bool | None = None
        force_input: bool | None = None
        extra_dict: dict[str, Any] | None = None
        raw_link: bool | None = None
        advanced: bool | None = None

    @dataclass
    class Output(_Output):
        io_type: ClassVar[str] = "BOOLEAN"


class Combo:
    Type: TypeAlias = str

    class Input(_Input):
        io_type: ClassVar[str] = "COMBO"

        def __init__(
            self,
            id: str,
            options: Sequence[str] | None = None,
            display_name: str | None = None,
            optional: bool = False,
            tooltip: str | None = None,
            lazy: bool | None = None,
            default: str | None = None,
            control_after_generate: bool | ControlAfterGenerate | None = None,
            upload: UploadType | None = None,
            image_folder: FolderType | None = None,
            socketless: bool | None = None,
            extra_dict: dict[str, Any] | None = None,
            raw_link: bool | None = None,
            advanced: bool | None = None,
        ) -> None:
            super().__init__(id, display_name, optional, tooltip, lazy)
            self.options = list(options or ())
            self.default = default
            self.control_after_generate = control_after_generate
            self.upload = upload
            self.image_folder = image_folder
            self.socketless = socketless
            self.extra_dict = extra_dict
            self.raw_link = raw_link
            self.advanced = advanced

    @dataclass
    class Output(_Output):
        io_type: ClassVar[str] = "COMBO"


@dataclass
class Schema:
    """A node, described. As in old hosts, no two of the ids of its inputs and outputs may be equal."""

    node_id: str
    display_name: str | None = None
    category: str = "sd"
    inputs: Sequence[_Input] = ()
    outputs: Sequence[_Output] = ()
    hidden: Sequence[Hidden] = ()
    description: str = ""
    search_aliases: list[str] = field(default_factory=list)
    is_input_list: bool = False
    is_output_node: bool = False
    is_deprecated: bool = False
    is_experimental: bool = False
    is_dev_only: bool = False
    is_api_node: bool = False
    not_idempotent: bool = False
    enable_expand: bool = False
    accept_all_inputs: bool = False
    essentials_category: str | None = None
    has_intermediate_output: bool = False

    def validate(self) -> None:
        ids = [entry.id for entry in self.inputs] + [entry.id for entry in self.outputs if entry.id is not None]
        if len(set(ids)) != len(ids):
            raise ValueError(f"{self.node_id}: ids of inputs and outputs must all differ, but are {ids}")


class NodeOutput:
    """What `execute` returns: one value for each output, and what the node shows."""

    def __init__(
        self,
        *args: Any,
        ui: UIOutput = None,
        expand: dict[str, Any] | None = None,
        block_execution: str | None = None,
    ) -> None:
        self.args = args
        self.ui = ui
        self.expand = expand
        self.block_execution = block_execution


class ComfyNode:
    """Base class of all V3 nodes. `execute` may be a coroutine function; each call gets a class of its own."""

    hidden: ClassVar[HiddenHolder] = HiddenHolder()

    if TYPE_CHECKING:
        execute: ClassVar[Callable[..., Any]]
        validate_inputs: ClassVar[Callable[..., Any]]
        fingerprint_inputs: ClassVar[Callable[..., Any]]

    @classmethod
    def define_schema(cls) -> Schema:
        raise NotImplementedError

    @classmethod
    def GET_SCHEMA(cls) -> Schema:
        schema = cls.define_schema()
        schema.validate()
        if not hasattr(cls, "execute"):
            raise TypeError(f"{cls.__name__} has no execute")
        return schema
