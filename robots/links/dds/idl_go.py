"""Messages of the go family (H1): module and fields in wire order, in the notation of `idl.py`.

Source: the message definitions published with unitree_sdk2. Order, names and types all enter the type hash that DDS
peers compare.
"""

from __future__ import annotations

MODULE = "unitree_go.msg.dds_"
TABLES = {
    "MotorCmd_": "mode b, q f32, dq f32, tau f32, kp f32, kd f32, reserve u32[3]",
    "BmsCmd_": "off b, reserve b[3]",
    "LowCmd_": (
        "head b[2], level_flag b, frame_reserve b, sn u32[2], version u32[2], bandwidth u16, motor_cmd MotorCmd_[20], "
        "bms_cmd BmsCmd_, wireless_remote b[40], led b[12], fan b[2], gpio b, reserve u32, crc u32"
    ),
    "IMUState_": "quaternion f32[4], gyroscope f32[3], accelerometer f32[3], rpy f32[3], temperature b",
    "MotorState_": (
        "mode b, q f32, dq f32, ddq f32, tau_est f32, q_raw f32, dq_raw f32, ddq_raw f32, temperature b, lost u32, "
        "reserve u32[2]"
    ),
    "BmsState_": (
        "version_high b, version_low b, status b, soc b, current i32, cycle u16, bq_ntc b[2], mcu_ntc b[2], "
        "cell_vol u16[15]"
    ),
    "LowState_": (
        "head b[2], level_flag b, frame_reserve b, sn u32[2], version u32[2], bandwidth u16, imu_state IMUState_, "
        "motor_state MotorState_[20], bms_state BmsState_, foot_force i16[4], foot_force_est i16[4], tick u32, "
        "wireless_remote b[40], bit_flag b, adc_reel f32, temperature_ntc1 b, temperature_ntc2 b, power_v f32, "
        "power_a f32, fan_frequency u16[4], reserve u32, crc u32"
    ),
    "WirelessController_": "lx f32, ly f32, rx f32, ry f32, keys u16",
    "TimeSpec_": "sec i32, nanosec u32",
    "PathPoint_": "t_from_start f32, x f32, y f32, yaw f32, vx f32, vy f32, vyaw f32",
    "SportModeState_": (
        "stamp TimeSpec_, error_code u32, imu_state IMUState_, mode b, progress f32, gait_type b, "
        "foot_raise_height f32, position f32[3], body_height f32, velocity f32[3], yaw_speed f32, "
        "range_obstacle f32[4], foot_force i16[4], foot_position_body f32[12], foot_speed_body f32[12], "
        "path_point PathPoint_[10]"
    ),
}
