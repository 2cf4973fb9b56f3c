#include <cleave/exec/model_store.hpp>

namespace cleave::inline v0::exec {

void ModelStore::put(std::shared_ptr<const core::Executable> model) {
  const core::Fingerprint fingerprint = model->fingerprint();
  const std::lock_guard lock(mutex_);
  models_.insert_or_assign(fingerprint, std::move(model));
}

void ModelStore::remove(core::Fingerprint fingerprint) {
  const std::lock_guard lock(mutex_);
  models_.erase(fingerprint);
}

core::Result<std::shared_ptr<const core::Executable>> ModelStore::find(
    core::Fingerprint fingerprint) const {
  const std::lock_guard lock(mutex_);
  if (const auto it = models_.find(fingerprint); it != models_.end())
    return it->second;
  std::string here;
  for (const auto& [other, model] : models_) {
    if (other.structure == fingerprint.structure)
      return core::fail(core::Errc::mismatch,
                        "this host serves other weights of the model (" + to_string(other) + ")",
                        to_string(fingerprint), "serve the same model file on both sides");
    here += (here.empty() ? "" : ", ") + to_string(other);
  }
  return core::fail(core::Errc::not_found,
                    "this host does not serve the model; it serves " +
                        (here.empty() ? std::string("none") : here),
                    to_string(fingerprint), "serve the same model file on both sides");
}

std::vector<core::Fingerprint> ModelStore::list() const {
  const std::lock_guard lock(mutex_);
  std::vector<core::Fingerprint> fingerprints;
  for (const auto& [fingerprint, model] : models_) fingerprints.push_back(fingerprint);
  return fingerprints;
}

}  // namespace cleave::inline v0::exec
