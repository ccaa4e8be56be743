"""The base class of the configuration sections."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A section of the configuration: immutable, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
