// An endpoint of a cloud whose link, queue and failures a test sets.
#pragma once

#include <cleave/runtime/cloud.hpp>

#include <functional>
#include <optional>
#include <string>

namespace cleave::tests {

class FakeEndpoint final : public runtime::Cloud {
 public:
  explicit FakeEndpoint(std::string name) : name_(std::move(name)) {}

  exec::RemoteStart start(exec::RemoteCall call, Done done) override {
    ++starts;
    if (auto whole = exec::gather(call); !whole) {
      done(core::fail(whole));
      return {0, {}};
    }
    done(answer ? answer(call) : core::fail(core::Errc::unavailable, name_ + " broke", name_));
    return {0, {}};
  }
  void distrust(unsigned endpoint) override { distrusted += endpoint == 0 ? 1 : 1000; }
  [[nodiscard]] bool reachable() const override { return up; }
  [[nodiscard]] std::optional<table::LinkState> estimate() const override { return link; }
  [[nodiscard]] core::Seconds queue() const override { return queued; }
  [[nodiscard]] bool serves(core::Fingerprint model) const override {
    return up && (!only || *only == model);
  }
  [[nodiscard]] core::Result<void> require(core::Fingerprint model) override {
    if (!up || serves(model))
      return {};
    return core::fail(core::Errc::mismatch, name_ + " serves another model", name_);
  }
  [[nodiscard]] std::string where() const override { return name_; }

  bool up = true;
  std::optional<table::LinkState> link;
  core::Seconds queued;
  std::optional<core::Fingerprint> only;
  std::function<core::Result<exec::RemoteReply>(const exec::RemoteCall&)> answer;
  int starts = 0, distrusted = 0;

 private:
  std::string name_;
};

}  // namespace cleave::tests
