// Where cleave meets libtorch: modules made in a program, and tensors passed without a copy. The
// only public header that includes libtorch.
#pragma once

#include <cleave/core/export.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/tensor.hpp>
#include <cleave/model/model.hpp>

#include <torch/script.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace cleave::inline v0::model {

/// Reads a TorchScript file as it is, trainable. The file is checked as by load(), whose errors it
/// shares.
CLEAVE_EXPORT core::Result<torch::jit::Module> load_module(const std::filesystem::path& path);

/// Writes a module as a TorchScript file, atomically, with the inputs it expects beside it, so that
/// load() needs not be told. The inputs are an extra file of the archive, "cleave_inputs.txt", one
/// line each as to_string(InputSpec) writes them; from Python:
/// `torch.jit.save(m, path, _extra_files={"cleave_inputs.txt": "1x3x224x224"})`.
CLEAVE_EXPORT core::Result<void> save_module(const torch::jit::Module& module,
                                             const std::vector<InputSpec>& inputs,
                                             const std::filesystem::path& path);

/// Lowers a module that is already in memory. The module itself is not changed and may go on being
/// trained; the Model keeps its own frozen weights, which share storages with the module's where
/// freezing does not fold them (so train on a clone if the Model is to stay as it is). Errors as
/// load().
CLEAVE_EXPORT core::Result<std::shared_ptr<const Model>> from_module(
    const torch::jit::Module& module, std::string name, const LoadOptions& options = {});

/// A view of the tensor's memory, kept alive by the result. Errc::unsupported for an element type,
/// layout or device that core::Tensor cannot name (sparse, quantized, on an accelerator).
CLEAVE_EXPORT core::Result<core::Tensor> from_torch(const at::Tensor& tensor);
/// A view of the tensor's memory, kept alive by the result. Must not be written to unless the
/// caller holds the only reference to the storage.
CLEAVE_EXPORT at::Tensor to_torch(const core::Tensor& tensor);

/// Tensors are views; lists, tuples and dictionaries are rebuilt. Errc::unsupported for objects,
/// devices and other values that do not cross between machines.
CLEAVE_EXPORT core::Result<core::Value> from_torch(const c10::IValue& value);
/// `type` (may be null) names the element types of empty containers and of optional values.
/// Errc::invalid_argument if the value is not of that type.
CLEAVE_EXPORT core::Result<c10::IValue> to_torch(const core::Value& value,
                                                 const c10::TypePtr& type = nullptr);

}  // namespace cleave::inline v0::model
