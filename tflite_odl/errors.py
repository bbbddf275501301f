"""The errors a user can meet: what was expected, what came, where to look."""


class OdlError(Exception):
    """Base of every error this package raises on purpose."""


class ContractError(OdlError, ValueError):
    """A tensor, a name or a contract version does not fit the signature contract."""


class ModelError(OdlError, ValueError):
    """A Keras model cannot be loaded, rebuilt, or trained with builtin ops."""


class DataError(OdlError, ValueError):
    """A dataset or stream file cannot be read as what it claims to be."""


class CheckpointError(OdlError):
    """A checkpoint is foreign, truncated, altered, or from a newer contract."""


class ArtifactError(OdlError):
    """An artifact folder or model file is incomplete, altered or rejected."""


class BusyError(OdlError):
    """Another process, or another session, writes to the folder."""


class RunError(OdlError):
    """The runtime failed in the middle of a call; only `reset` and restoring help."""


class ExportError(OdlError):
    """The converted model was refused: the op audit or the parity gate failed."""


class DeviceError(OdlError):
    """A device profile, or an emulated phone, cannot be had or used here."""
