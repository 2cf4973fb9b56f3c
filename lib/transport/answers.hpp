// The requests of one peer that are with a handler, and the way of their answers back.
#pragma once

#include "lib/transport/connection.hpp"
#include "lib/transport/io_context_impl.hpp"

#include <cleave/transport/service.hpp>

#include <memory>
#include <unordered_map>
#include <vector>

namespace cleave::inline v0::transport {

// All members are called in the I/O thread's section (section.hpp).
class Answers : public std::enable_shared_from_this<Answers> {
 public:
  Answers(std::shared_ptr<Connection> connection, std::weak_ptr<IoContext::Impl> io)
      : connection_(std::move(connection)), io_(std::move(io)) {}

  // Where the answer of one request goes, from whatever thread. If the connection is gone by then,
  // nowhere.
  struct To {
    std::weak_ptr<IoContext::Impl> io;
    std::weak_ptr<Answers> answers;
    std::uint64_t id = 0;
    core::Seconds upload;
    void send(core::Result<std::vector<std::byte>> reply, core::Seconds queue,
              core::Seconds handler) const;
  };
  // A request that a handler gets; the flag says when its caller does not want it any more.
  std::shared_ptr<std::atomic<bool>> expect(std::uint64_t id);
  [[nodiscard]] To to(std::uint64_t id, core::Seconds upload);
  void cancel(std::uint64_t id);
  void cancel_all();

 private:
  void send(std::uint64_t id, core::Result<std::vector<std::byte>> reply, const ServerTimes& times);

  const std::shared_ptr<Connection> connection_;
  const std::weak_ptr<IoContext::Impl> io_;
  std::unordered_map<std::uint64_t, std::shared_ptr<std::atomic<bool>>> flags_;  // by request
};

struct Responder::Impl {
  Answers::To to;
  std::shared_ptr<const core::Clock> clock;
  core::Seconds arrived;
};

}  // namespace cleave::inline v0::transport
