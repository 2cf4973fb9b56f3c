#include <cleave/runtime/cloud.hpp>

#include <future>
#include <memory>

namespace cleave::inline v0::runtime {

core::Result<exec::RemoteReply> Cloud::call(exec::RemoteCall call) {
  const auto promise = std::make_shared<std::promise<core::Result<exec::RemoteReply>>>();
  auto reply = promise->get_future();
  start(std::move(call), [promise](core::Result<exec::RemoteReply> result) {
    promise->set_value(std::move(result));
  });
  return reply.get();
}

core::Seconds expected_finish(const Cloud& cloud, const exec::RemoteChoice& choice) {
  core::Seconds finish = cloud.queue() + choice.work;
  if (const auto link = cloud.estimate())
    finish += link->round_trip + choice.body / link->up;
  return finish;
}

}  // namespace cleave::inline v0::runtime
