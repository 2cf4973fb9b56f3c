#include <cleave/exec/infer_service.hpp>
#include <cleave/exec/link_service.hpp>
#include <cleave/runtime/cloud_server.hpp>
#include <cleave/transport/server.hpp>

namespace cleave::inline v0::runtime {

struct CloudServer::Impl {
  Impl(CloudServerOptions given, std::shared_ptr<exec::ModelStore> store)
      : options(std::move(given)), models(std::move(store)), infer(*models, options.knobs.get()) {}

  CloudServerOptions options;
  std::shared_ptr<exec::ModelStore> models;
  exec::InferService infer;
  std::unique_ptr<transport::Server> server;  // last: its handlers use the above
};

CloudServer::CloudServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

CloudServer::~CloudServer() {
  stop();
}

core::Result<std::unique_ptr<CloudServer>> CloudServer::start(
    CloudServerOptions options, std::shared_ptr<exec::ModelStore> models,
    std::vector<std::tuple<std::string, std::string, ServiceHandler>> services) {
  auto impl = std::make_unique<Impl>(std::move(options), std::move(models));
  transport::ServerOptions listening;
  listening.address = impl->options.address;
  listening.port = impl->options.port;
  listening.workers = impl->options.workers;
  listening.max_queued = impl->options.max_queued;
  listening.security = impl->options.security;
  listening.peers = impl->options.peers;
  listening.log = impl->options.log;
  const exec::InferService& infer = impl->infer;
  services.emplace_back(
      exec::infer_service, exec::models_method,
      [&infer](std::span<const std::byte>) -> core::Result<std::vector<std::byte>> {
        return infer.models();
      });
  services.emplace_back(exec::link_service, exec::sink_method,
                        [](std::span<const std::byte>) -> core::Result<std::vector<std::byte>> {
                          return std::vector<std::byte>();
                        });
  services.emplace_back(exec::link_service, exec::source_method, exec::answer_source);
  auto server = transport::Server::listen(listening);
  if (!server)
    return core::fail(server);
  (*server)->handle_stream(std::string(exec::infer_service), std::string(exec::tail_method),
                           [&infer] { return infer.tail_sink(); });
  for (auto& [service, method, handler] : services)
    (*server)->handle(service, method,
                      [handler = std::move(handler)](const transport::Incoming& incoming) {
                        return handler(incoming.body);
                      });
  impl->server = std::move(*server);
  return std::unique_ptr<CloudServer>(new CloudServer(std::move(impl)));
}

std::uint16_t CloudServer::port() const {
  return impl_->server->port();
}

void CloudServer::stop() {
  impl_->server->stop();
}

}  // namespace cleave::inline v0::runtime
