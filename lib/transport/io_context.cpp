#include "lib/transport/io_context_impl.hpp"

#include <pthread.h>

#include <exception>

namespace cleave::inline v0::transport {

IoContext::IoContext(const std::string& name) : impl_(std::make_shared<Impl>()) {
  // The thread owns the context too: the last owner of an IoContext may go on that very thread.
  impl_->thread_ = std::thread([impl = impl_] { impl->place_.context.run(); });
  pthread_setname_np(impl_->thread_.native_handle(), name.substr(0, 15).c_str());
}

IoContext::~IoContext() {
  impl_->work_.reset();
  impl_->place_.context.stop();
  if (on_thread())
    impl_->thread_.detach();
  else
    impl_->thread_.join();
}

bool IoContext::on_thread() const {
  return impl_->on_thread();
}

std::shared_ptr<IoContext> or_own(const std::shared_ptr<IoContext>& given) {
  return given ? given : std::make_shared<IoContext>();
}

}  // namespace cleave::inline v0::transport
