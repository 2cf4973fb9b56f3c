#include "lib/transport/inbox.hpp"

#include <algorithm>

namespace cleave::inline v0::transport {

using core::Result;
using core::Seconds;

namespace {

constexpr std::size_t piece_size = 256U << 10;
// Of a body that is handed over whole, memory for so much is taken before it has come.
constexpr std::uint64_t most_reserved = std::uint64_t{64} << 20;
constexpr Seconds report_rate_after(0.05);
constexpr std::size_t least_for_rate = 32U << 10;

}  // namespace

// For `next` bytes of a piece, or for the whole body.
void Inbox::get_memory(Body& body, std::size_t next) const {
  if (body.has_memory)
    return;
  const auto size = static_cast<std::size_t>(std::min(body.bound, most_reserved));
  const std::size_t wanted = body.streamed ? next : size;
  if (make_)
    body.bytes = make_(wanted);
  else
    body.bytes.reserve(wanted);
  body.filled = 0;
  body.has_memory = true;
}

void Inbox::begin(std::uint64_t id, bool reply, Body body, Seconds now) {
  if (empty())
    busy_.start(now);
  body.arrival.start(now);
  bodies(reply)[id] = std::move(body);
  select(id, reply);
}

bool Inbox::drop(std::uint64_t id, bool reply) {
  return bodies(reply).erase(id) > 0;
}

const Inbox::Body* Inbox::find(std::uint64_t id, bool reply) const {
  const Bodies& in = reply ? replies_ : requests_;
  const auto found = in.find(id);
  return found == in.end() ? nullptr : &found->second;
}

Inbox::Body* Inbox::selected() {
  if (!selected_)
    return nullptr;
  Bodies& in = bodies(selected_->reply);
  const auto found = in.find(selected_->id);
  return found == in.end() ? nullptr : &found->second;
}

Result<void> Inbox::add(std::span<const std::byte> bytes, Seconds now) {
  Body* into = selected();
  if (into == nullptr)
    return {};
  if (auto fits = count(*into, bytes.size(), now); !fits)
    return fits;
  get_memory(*into, bytes.size());
  const std::size_t over = std::min(bytes.size(), into->bytes.size() - into->filled);
  std::copy_n(bytes.begin(), over, into->bytes.begin() + static_cast<std::ptrdiff_t>(into->filled));
  into->bytes.insert(into->bytes.end(), bytes.begin() + static_cast<std::ptrdiff_t>(over),
                     bytes.end());
  into->filled += bytes.size();
  return {};
}

std::span<std::byte> Inbox::room(std::size_t most) {
  Body* into = selected();
  if (into == nullptr || into->bound - into->total < most)
    return {};
  if (into->streamed)
    most = std::min(most, piece_size);
  get_memory(*into, most);
  // A read at a time: what is initialised in vain is still in the cache when it is overwritten.
  if (into->bytes.size() < into->filled + most)
    into->bytes.resize(into->filled + most);
  return std::span(into->bytes).subspan(into->filled, most);
}

Result<void> Inbox::filled(std::size_t bytes, Seconds now) {
  Body* into = selected();
  if (into == nullptr)
    return {};
  if (auto fits = count(*into, bytes, now); !fits)
    return fits;
  into->filled += bytes;
  return {};
}

Result<void> Inbox::count(Body& body, std::size_t bytes, Seconds now) {
  if (bytes > body.bound - body.total)
    return core::fail(core::Errc::corrupt, "more bytes than were announced", "connection",
                      "the peer is no cleave, or something between damages bytes");
  body.total += bytes;
  body.arrival.add(bytes, now);
  busy_.add(bytes, now);
  return {};
}

std::optional<event::Piece> Inbox::take_piece(bool end_of_frame) {
  Body* from = selected();
  if (from == nullptr || !from->streamed || from->filled == 0 ||
      (!end_of_frame && from->filled < piece_size))
    return std::nullopt;
  from->bytes.resize(from->filled);
  event::Piece piece{selected_->id, std::move(from->bytes)};
  from->has_memory = false;
  from->filled = 0;
  return piece;
}

std::optional<Inbox::Whole> Inbox::take_whole() {
  Body* from = selected();
  if (from == nullptr)
    return std::nullopt;
  Whole whole{selected_->id, selected_->reply, std::move(*from)};
  whole.body.bytes.resize(whole.body.filled);
  bodies(whole.reply).erase(whole.id);
  return whole;
}

std::optional<core::BytesPerSecond> Inbox::take_rate(Seconds now) {
  const bool enough = busy_.bytes() >= least_for_rate;
  if (!empty() && (!enough || busy_.since_start(now) < report_rate_after))
    return std::nullopt;
  const auto rate = busy_.rate();
  busy_.start(now);
  return enough ? rate : std::nullopt;
}

}  // namespace cleave::inline v0::transport
