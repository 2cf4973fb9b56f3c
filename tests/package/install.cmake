# Installs BUILD, its two parts one after the other, and moves the result to PREFIX: nothing in it
# may depend on the place that it was installed to.
file(REMOVE_RECURSE "${PREFIX}" "${PREFIX}.staged")
foreach(part IN ITEMS Runtime Development)
  execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${PREFIX}.staged
                          --component ${part}
                  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endforeach()
file(RENAME "${PREFIX}.staged" "${PREFIX}")
