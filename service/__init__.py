"""The running service, in the order data flows: HumanPose -> Reference -> JointTargets -> JointCommand."""
