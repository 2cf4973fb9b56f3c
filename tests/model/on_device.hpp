// What holds on any device is tested on each: on the CPU always, on a GPU where there is one.
#pragma once

#include "lib/model/device.hpp"
#include "tests/model/split_support.hpp"

#include <ATen/Context.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cleave::test {

/// By default a GPU rounds the factors of a convolution to TF32's ten bits, and may add up in
/// whatever order its threads arrive. While this lives, it computes in float32 and always the same.
class ExactKernels {
 public:
  ExactKernels() {
    // cuBLAS reads it when it is first used. A fixed workspace: its sums have one order.
    ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
    at::Context& context = at::globalContext();
    context.setAllowTF32CuBLAS(false);
    context.setAllowTF32CuDNN(false);
    context.setBenchmarkCuDNN(false);
    context.setDeterministicCuDNN(true);
    // What has no such kernel warns, and still runs.
    context.setDeterministicAlgorithms(true, /*warn_only=*/true);
  }
  ~ExactKernels() { at::globalContext().setDeterministicAlgorithms(false, false); }
  ExactKernels(const ExactKernels&) = delete;
  ExactKernels& operator=(const ExactKernels&) = delete;
};

/// Where such tests are to run; one that is not there says that it is skipped, and why.
inline std::vector<std::string> devices() {
  return {"cpu", "cuda"};
}

/// A fixture whose networks run on a device.
class DeviceTest : public testing::Test {
 protected:
  explicit DeviceTest(std::string device) : device_(std::move(device)) {}

  void SetUp() override {
    if (const auto there = model::find_device(device_); !there)
      GTEST_SKIP() << "no " << device_ << " device: " << there.error().message();
    if (device_ != "cpu")
      exact_ = std::make_unique<ExactKernels>();
  }

  [[nodiscard]] const std::string& device() const { return device_; }

  /// How far a network may be from the same module on the CPU, relative to its largest output.
  [[nodiscard]] double tolerance() const { return device_ == "cpu" ? 1e-5 : 1e-4; }

  [[nodiscard]] std::shared_ptr<const model::Model> lowered(
      const torch::jit::Module& module, std::vector<std::string> inputs, bool all_cuts = true,
      model::PlanKind plan = model::PlanKind::unfused) const {
    return test::lowered(module, std::move(inputs), all_cuts, plan, device_);
  }

  /// A plan, and what it is to be given, on the device.
  [[nodiscard]] model::Plan place(model::Plan plan) const {
    const auto there = *model::find_device(device_);
    return there.is_cpu() ? plan : *model::on_device(std::move(plan), there);
  }
  [[nodiscard]] std::vector<c10::IValue> place(std::vector<c10::IValue> values) const {
    model::Mover(*model::find_device(device_)).move(values);
    return values;
  }

 private:
  std::string device_;
  std::unique_ptr<ExactKernels> exact_;
};

/// One with no other parameter than the device:
/// INSTANTIATE_TEST_SUITE_P(Devices, Suite, testing::ValuesIn(devices()), device_name);
class OnDevice : public DeviceTest, public testing::WithParamInterface<std::string> {
 protected:
  OnDevice() : DeviceTest(GetParam()) {}
};

inline std::string device_name(const testing::TestParamInfo<std::string>& entry) {
  return entry.param;
}

}  // namespace cleave::test
