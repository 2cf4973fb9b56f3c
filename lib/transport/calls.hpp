// The calls that one side of a connection has made and that are not answered yet.
#pragma once

#include "lib/transport/connection.hpp"
#include "lib/transport/io_context_impl.hpp"

#include <cleave/core/sinks.hpp>
#include <cleave/transport/service.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace cleave::inline v0::transport {

// All members are called in the I/O thread's section (section.hpp). Every call begun ends exactly
// once, by its callback.
class Calls : public std::enable_shared_from_this<Calls> {
 public:
  using Callback = CallCallback;

  Calls(std::shared_ptr<Connection> connection, std::shared_ptr<const core::Clock> clock,
        core::MetricsSink* metrics, std::string where);

  // `id` is the caller's own. With a bound the body follows by append() and finish().
  void begin(CallId id, Call call, std::optional<std::uint64_t> bound, Callback done);
  void append(CallId id, SharedBytes piece);
  void finish(CallId id);
  void cancel(CallId id, core::Error why);
  // Ends what is overdue by the clock.
  void check_timeouts();
  // True: it was the answer to a call.
  bool take(Event& event);
  void fail_all(const core::Error& why);

 private:
  struct Pending {
    Callback done;
    std::uint64_t request = 0;
    double expires = 0;  // 0: never
  };
  using Map = std::unordered_map<CallId, Pending>;

  void refuse(Callback done, core::Error why);
  void answer(std::uint64_t request, core::Result<Response> result);
  Callback take(Map::iterator found);
  void finish(const Callback& done, core::Result<Response> result);
  void arm_deadline();

  const std::shared_ptr<Connection> connection_;
  const std::shared_ptr<const core::Clock> clock_;
  core::MetricsSink* const metrics_;
  const std::string where_;
  Map pending_;
  std::unordered_map<std::uint64_t, CallId> by_request_;
  std::set<std::pair<double, CallId>> deadlines_;
  asio::steady_timer timer_;
};

// The calls from whatever thread.
class CallsHandle final : public Peer {
 public:
  CallsHandle(std::weak_ptr<IoContext::Impl> io, std::weak_ptr<Calls> calls, std::string where)
      : io_(std::move(io)), calls_(std::move(calls)), where_(std::move(where)) {}

  CallId start(Call call, CallCallback done) override;
  // The body follows by append() and finish().
  CallId start(Call call, std::uint64_t bound, CallCallback done);
  void append(CallId id, SharedBytes piece);
  void finish(CallId id);
  void cancel(CallId id) override;
  void check_timeouts();
  [[nodiscard]] bool connected() const override { return connected_; }
  void set_connected(bool connected) { connected_ = connected; }
  // Calls not yet ended.
  [[nodiscard]] std::size_t pending() const { return *pending_; }

 private:
  // Runs `work(calls)` on the I/O thread, if it is still there.
  template <class F>
  void post(F work);
  CallId begin(Call call, std::optional<std::uint64_t> bound, CallCallback done);

  const std::weak_ptr<IoContext::Impl> io_;
  const std::weak_ptr<Calls> calls_;
  const std::string where_;
  std::atomic<CallId> last_{0};
  std::atomic<bool> connected_{false};
  // Shared with the callbacks, which may come later than this goes.
  const std::shared_ptr<std::atomic<std::size_t>> pending_ =
      std::make_shared<std::atomic<std::size_t>>(0);
};

}  // namespace cleave::inline v0::transport
