"""Messages of the hg family (G1, H1-2): module and fields in wire order, in the notation of `idl.py`.

Source: the message definitions published with unitree_sdk2. Order, names and types all enter the type hash that DDS
peers compare.
"""

from __future__ import annotations

MODULE = "unitree_hg.msg.dds_"
TABLES = {
    "MotorCmd_": "mode b, q f32, dq f32, tau f32, kp f32, kd f32, reserve u32",
    "LowCmd_": "mode_pr b, mode_machine b, motor_cmd MotorCmd_[35], reserve u32[4], crc u32",
    "IMUState_": "quaternion f32[4], gyroscope f32[3], accelerometer f32[3], rpy f32[3], temperature i16",
    "MotorState_": (
        "mode b, q f32, dq f32, ddq f32, tau_est f32, temperature i16[2], vol f32, sensor u32[2], motorstate u32, "
        "reserve u32[4]"
    ),
    "LowState_": (
        "version u32[2], mode_pr b, mode_machine b, tick u32, imu_state IMUState_, motor_state MotorState_[35], "
        "wireless_remote b[40], reserve u32[4], crc u32"
    ),
    "BmsState_": (
        "version_high b, version_low b, fn b, cell_vol u16[40], bmsvoltage u32[3], current i32, soc b, soh b, "
        "temperature i16[12], cycle u16, manufacturer_date u16, bmsstate u32[5], reserve u32[3]"
    ),
    "BmsCmd_": "cmd b, reserve b[40]",
    "HandCmd_": "motor_cmd MotorCmd_[], reserve u32[4]",
    "PressSensorState_": "pressure f32[12], temperature f32[12], lost u32, reserve u32",
    "HandState_": (
        "motor_state MotorState_[], press_sensor_state PressSensorState_[], imu_state IMUState_, power_v f32, "
        "power_a f32, system_v f32, device_v f32, error u32[2], reserve u32[2]"
    ),
    "MainBoardState_": "fan_state u16[6], temperature i16[6], value f32[6], state u32[6]",
}
