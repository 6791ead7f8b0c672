"""Training of the embedded policy by distillation. Needs the extra `train`; nothing at run time imports this folder."""
