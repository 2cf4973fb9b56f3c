// A cloud in the same process: answers the services of exec and the profiler over an ideal link on
// an injected clock.
#pragma once

#include <cleave/core/clock.hpp>
#include <cleave/exec/infer_service.hpp>
#include <cleave/exec/link_service.hpp>
#include <cleave/exec/remote.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>

namespace cleave::tests {

class FakeCloud final : public exec::Remote {
 public:
  using Handler = std::function<core::Result<std::vector<std::byte>>(std::span<const std::byte>)>;

  /// `model` may be null for a cloud that serves none.
  FakeCloud(core::ManualClock& clock, std::shared_ptr<const core::Executable> model)
      : clock_(clock) {
    if (model)
      models.put(std::move(model));
    const auto add = [this](std::string_view service, std::string_view method, Handler handler) {
      handlers[std::string(service) + "/" + std::string(method)] = std::move(handler);
    };
    add(exec::infer_service, exec::tail_method,
        [this](std::span<const std::byte> body) { return service_.tail(body); });
    add(exec::infer_service, exec::models_method,
        [this](std::span<const std::byte>) { return service_.models(); });
    add(exec::link_service, exec::sink_method,
        [](std::span<const std::byte>) { return std::vector<std::byte>(); });
    add(exec::link_service, exec::source_method, exec::answer_source);
  }

  core::Result<exec::RemoteReply> call(exec::RemoteCall call) override {
    ++calls;
    if (on_call)
      if (auto failed = on_call(call); !failed)
        return core::fail(failed);
    const auto handler = handlers.find(std::string(call.service) + "/" + std::string(call.method));
    if (handler == handlers.end())
      return core::fail(core::Errc::not_found, "no such service");
    exec::RemoteReply reply;
    reply.upload = core::Seconds(static_cast<double>(call.body.size()) / rate.count());
    clock_.advance(reply.upload + round_trip);
    const core::Seconds start = clock_.now();
    auto body = handler->second(call.body);
    if (!body)
      return core::fail(body);
    reply.handler = clock_.now() - start;
    reply.download = core::Seconds(static_cast<double>(body->size()) / rate.count());
    clock_.advance(reply.download);
    reply.body = std::move(*body);
    if (spoil)
      spoil(reply.body);
    return reply;
  }

  int calls = 0;
  core::Seconds round_trip;
  core::BytesPerSecond rate{1e300};  ///< each way
  std::map<std::string, Handler> handlers;
  exec::ModelStore models;
  std::function<core::Result<void>(const exec::RemoteCall&)> on_call;
  std::function<void(std::vector<std::byte>&)> spoil;

 private:
  core::ManualClock& clock_;
  exec::InferService service_{models, nullptr,
                              std::shared_ptr<const core::Clock>(&clock_, [](auto*) {})};
};

}  // namespace cleave::tests
