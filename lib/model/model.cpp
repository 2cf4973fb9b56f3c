#include <cleave/model/model.hpp>

namespace cleave::inline v0::model {

Model::~Model() = default;

}  // namespace cleave::inline v0::model
