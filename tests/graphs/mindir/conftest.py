"""Sets what MindSpore reads when it is imported, before the test modules of this folder import it."""

from coopdraw.runtime.backends.mindspore import prepare_environment

prepare_environment()
