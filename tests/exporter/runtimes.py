"""Runs a model's signatures on both runtimes, with the same inputs."""

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter


def interpreter(model: bytes, calls):
    """Returns the outputs of each (signature, inputs) call, state kept between them."""
    runtime = Interpreter(model_content=model)
    return [runtime.get_signature_runner(name)(**inputs) for name, inputs in calls]


def compiled(model: bytes, calls):
    """The same through CompiledModel, which looks tensors up by name too."""
    runtime = CompiledModel.from_buffer(model)
    return [_run(runtime, name, inputs) for name, inputs in calls]


def _run(runtime, signature, inputs):
    given, taken = {}, {}
    for name, value in inputs.items():
        given[name] = runtime.create_input_buffer_by_name(signature, name)
        given[name].write(np.ascontiguousarray(value))
    details = runtime.get_output_tensor_details(signature)
    for name in details:
        taken[name] = runtime.create_output_buffer_by_name(signature, name)
    runtime.run_by_name(signature, given, taken)
    outputs = {}
    for name, detail in details.items():
        shape, dtype = detail["shape"], np.dtype(detail["dtype"]).type
        flat = taken[name].read(int(np.prod(shape)), dtype)
        outputs[name] = np.asarray(flat).reshape(shape).copy()
    return outputs


RUNTIMES = {"Interpreter": interpreter, "CompiledModel": compiled}
