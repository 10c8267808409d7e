// Facts of the platform (asc-devkit:docs/zh/api/Utils-API/平台信息获取/PlatformAscendC).
#pragma once

#include "../../gert_contexts.h"

namespace platform_ascendc {
enum class SocVersion { ASCEND910B, ASCEND310P };
enum class CoreMemType { L0_A = 0, L0_B = 1, L0_C = 2, L1 = 3, L2 = 4, UB = 5 };

class PlatformAscendC {
public:
    explicit PlatformAscendC(const fe::PlatFormInfos* infos) : infos_(*infos) {}

    SocVersion GetSocVersion() const { return infos_.is_310p ? SocVersion::ASCEND310P : SocVersion::ASCEND910B; }
    uint32_t GetCoreNumAiv() const { return infos_.vector_cores; }
    uint32_t GetCoreNumAic() const { return infos_.cube_cores; }
    uint32_t GetLibApiWorkSpaceSize() const { return infos_.is_310p ? 2 << 20 : 16 << 20; }
    void GetCoreMemSize(const CoreMemType& type, uint64_t& size) const
    {
        switch (type) {
            case CoreMemType::L0_A: size = infos_.l0a_bytes; break;
            case CoreMemType::L0_B: size = infos_.l0b_bytes; break;
            case CoreMemType::L0_C: size = infos_.l0c_bytes; break;
            case CoreMemType::L1: size = infos_.l1_bytes; break;
            case CoreMemType::L2: size = infos_.l2_bytes; break;
            case CoreMemType::UB: size = infos_.ub_bytes; break;
        }
    }

private:
    fe::PlatFormInfos infos_;
};
} // namespace platform_ascendc
